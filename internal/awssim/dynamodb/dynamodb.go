// Package dynamodb simulates DynamoDB: tables, items, expressions and transactions.
package dynamodb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated DynamoDB.
type Service struct {
	*kernel.Kernel

	Tables []*Table
	tokens map[string]time.Time // of transactions that succeeded
	// locked are the items in a running transaction, by table and key.
	locked map[string]bool
}

// Table is a table with its items.
type Table struct {
	Name      string
	hash, rng string
	types     map[string]string
	indexes   []*dynamoIndex
	items     map[string]item
	ordered   []*rows
	created   time.Time
	Ttl       string
	KMSKey    string // a customer-managed key; empty for AWS's own
}

type dynamoIndex struct {
	name, hash, rng string
	local           bool
	projection      projection
}

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

type keyElement struct{ AttributeName, KeyType string }

type indexInput struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            projection
	ProvisionedThroughput map[string]int
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k, tokens: map[string]time.Time{}, locked: map[string]bool{}}
	k.Register(&kernel.API{Name: "dynamodb", Asks: s.tableQuestions, Endpoint: "dynamodb", Prefix: "DynamoDB_20120810",
		Protocol: kernel.JSON10, Space: "com.amazonaws.dynamodb.v20120810", Ops: map[string]kernel.Operation{
			"CreateTable":        kernel.Op(s.CreateTable),
			"DescribeTable":      kernel.Op(s.describeTable),
			"DeleteTable":        kernel.Op(s.deleteTable),
			"ListTables":         kernel.Op(s.listTables),
			"UpdateTimeToLive":   kernel.Op(s.updateTTL),
			"DescribeTimeToLive": kernel.Op(s.describeTTL),
			"PutItem":            kernel.Op(s.putItem),
			"GetItem":            kernel.Op(s.getItem),
			"UpdateItem":         kernel.Op(s.updateItem),
			"DeleteItem":         kernel.Op(s.deleteItem),
			"Query":              kernel.Op(s.query),
			"Scan":               kernel.Op(s.scan),
			"TransactWriteItems": kernel.Op(s.transactWrite),
			"ListTagsOfResource": kernel.Op(s.listTableTags),
			"TagResource":        kernel.Op(s.tagTable),
			"UntagResource":      kernel.Op(s.untagTable),

			"DescribeContinuousBackups": kernel.Op(s.describeBackups),
		}})
	s.Clock.After(expiresEvery, s.expire)
	return s
}

// Table finds a table by name or ARN.
func (s *Service) Table(name string) (*Table, error) {
	if !validTableName(name) {
		return nil, validation("Invalid table/index name.  Table/index names must be between 3 and 255 characters " +
			"long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	if t := kernel.Find(s.Tables, func(t *Table) bool {
		return t.Name == name || s.tableARN(t.Name) == name
	}); t != nil {
		return t, nil
	}
	return nil, kernel.Errorf("ResourceNotFoundException", "Requested resource not found")
}

func validTableName(name string) bool {
	short := name[strings.LastIndex(name, "/")+1:] // of an ARN
	return len(short) >= 3 && len(short) <= 255 &&
		strings.Trim(short, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

func (s *Service) tableARN(name string) string { return s.ARN("dynamodb", "table/"+name) }

type attributeDefinition struct{ AttributeName, AttributeType string }

// CreateTable adds a table; see the API.
func (s *Service) CreateTable(_ *kernel.Call, in *struct {
	TableName              string
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	LocalSecondaryIndexes  []indexInput
	GlobalSecondaryIndexes []indexInput
	BillingMode            string
	ProvisionedThroughput  map[string]int
	SSESpecification       map[string]any
	StreamSpecification    map[string]any
	Tags                   []kernel.Tag
	TableClass             string

	DeletionProtectionEnabled bool
}) (*map[string]any, error) {
	if _, err := s.Table(in.TableName); err == nil {
		return nil, kernel.Errorf("ResourceInUseException", "Table already exists: %s", in.TableName)
	}
	t := &Table{Name: in.TableName, types: map[string]string{}, items: map[string]item{}, created: s.Clock.Now()}
	for _, a := range in.AttributeDefinitions {
		t.types[a.AttributeName] = a.AttributeType
	}
	t.hash, t.rng = schema(in.KeySchema)
	for _, i := range in.LocalSecondaryIndexes {
		h, r := schema(i.KeySchema)
		if h != t.hash {
			return nil, validation("One or more parameter values were invalid: Table KeySchema: The AttributeValue " +
				"for a key attribute does not match")
		}
		t.indexes = append(t.indexes, &dynamoIndex{i.IndexName, h, r, true, i.Projection})
	}
	for _, i := range in.GlobalSecondaryIndexes {
		h, r := schema(i.KeySchema)
		t.indexes = append(t.indexes, &dynamoIndex{i.IndexName, h, r, false, i.Projection})
	}
	for _, k := range t.keyNames() {
		if t.types[k] == "" {
			return nil, validation("One or more parameter values were invalid: Some index key attributes are not "+
				"defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]", k,
				strings.Join(kernel.SortedKeys(t.types), ", "))
		}
	}
	s.Tables = append(s.Tables, t)
	s.TagResource(s.tableARN(t.Name), kernel.TagList(in.Tags).ByKey())
	return &map[string]any{"TableDescription": s.tableJSON(t, "ACTIVE")}, nil
}

func schema(keys []keyElement) (hash, rng string) {
	for _, k := range keys {
		if k.KeyType == "HASH" {
			hash = k.AttributeName
		} else {
			rng = k.AttributeName
		}
	}
	return hash, rng
}

// keyNames are the names of all key attributes of the table and its indexes.
func (t *Table) keyNames() []string {
	out := []string{t.hash}
	add := func(k string) {
		if k != "" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	add(t.rng)
	for _, i := range t.indexes {
		add(i.hash)
		add(i.rng)
	}
	return out
}

func keySchema(hash, rng string) []keyElement {
	out := []keyElement{{hash, "HASH"}}
	if rng != "" {
		out = append(out, keyElement{rng, "RANGE"})
	}
	return out
}

func (s *Service) tableJSON(t *Table, status string) map[string]any {
	size := 0
	var defs []attributeDefinition
	for _, k := range kernel.SortedKeys(t.types) {
		defs = append(defs, attributeDefinition{k, t.types[k]})
	}
	out := map[string]any{
		"TableName": t.Name, "TableArn": s.tableARN(t.Name), "TableStatus": status,
		"KeySchema": keySchema(t.hash, t.rng), "AttributeDefinitions": defs,
		"CreationDateTime": kernel.Stamp{Time: t.created}, "ItemCount": len(t.items), "TableSizeBytes": size,
		"TableId":            s.Digest("table"+t.Name, 8) + "-0000-4000-a000-000000000000",
		"BillingModeSummary": map[string]any{"BillingMode": "PAY_PER_REQUEST"},
		"ProvisionedThroughput": map[string]any{
			"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0,
		},
	}
	var local, global []map[string]any
	for _, i := range t.indexes {
		d := map[string]any{
			"IndexName": i.name, "KeySchema": keySchema(i.hash, i.rng), "Projection": i.projection,
			"IndexArn": s.tableARN(t.Name) + "/index/" + i.name, "ItemCount": len(t.items), "IndexSizeBytes": 0,
		}
		if i.local {
			local = append(local, d)
		} else {
			d["IndexStatus"] = "ACTIVE"
			global = append(global, d)
		}
	}
	if local != nil {
		out["LocalSecondaryIndexes"] = local
	}
	if global != nil {
		out["GlobalSecondaryIndexes"] = global
	}
	return out
}

func (s *Service) describeTable(_ *kernel.Call, in *struct{ TableName string }) (*map[string]any, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Requested resource not found: Table: %s not found",
			in.TableName)
	}
	return &map[string]any{"Table": s.tableJSON(t, "ACTIVE")}, nil
}

func (s *Service) deleteTable(_ *kernel.Call, in *struct{ TableName string }) (*map[string]any, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Requested resource not found: Table: %s not found",
			in.TableName)
	}
	delete(s.Tags, s.tableARN(t.Name))
	s.Tables = slices.DeleteFunc(s.Tables, func(x *Table) bool { return x == t })
	return &map[string]any{"TableDescription": s.tableJSON(t, "DELETING")}, nil
}

// describeBackups reports that point-in-time recovery is disabled.
func (s *Service) describeBackups(_ *kernel.Call, in *struct{ TableName string }) (*map[string]any, error) {
	if _, err := s.Table(in.TableName); err != nil {
		return nil, kernel.Errorf("TableNotFoundException", "Table not found: %s", in.TableName)
	}
	return &map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus":        "ENABLED",
		"PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": "DISABLED"},
	}}, nil
}

func (s *Service) listTables(_ *kernel.Call, _ *struct {
	ExclusiveStartTableName string
	Limit                   int
}) (*struct{ TableNames []string }, error) {
	out := &struct{ TableNames []string }{[]string{}}
	for _, t := range s.Tables {
		out.TableNames = append(out.TableNames, t.Name)
	}
	sort.Strings(out.TableNames)
	return out, nil
}

type ttlSpec struct {
	AttributeName string
	Enabled       bool
}

func (s *Service) updateTTL(_ *kernel.Call, in *struct {
	TableName               string
	TimeToLiveSpecification ttlSpec
}) (*struct{ TimeToLiveSpecification ttlSpec }, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, err
	}
	if t.Ttl = ""; in.TimeToLiveSpecification.Enabled {
		t.Ttl = in.TimeToLiveSpecification.AttributeName
	}
	return &struct{ TimeToLiveSpecification ttlSpec }{in.TimeToLiveSpecification}, nil
}

func (s *Service) describeTTL(_ *kernel.Call, in *struct{ TableName string }) (*map[string]any, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, err
	}
	d := map[string]any{"TimeToLiveStatus": "DISABLED"}
	if t.Ttl != "" {
		d = map[string]any{"TimeToLiveStatus": "ENABLED", "AttributeName": t.Ttl}
	}
	return &map[string]any{"TimeToLiveDescription": d}, nil
}

// key returns the item's key as text. The item must have all key attributes.
func (t *Table) key(it item) (string, error) {
	var parts []string
	for _, k := range []string{t.hash, t.rng} {
		if k == "" {
			continue
		}
		a, ok := it[k]
		switch {
		case !ok:
			return "", validation("One or more parameter values were invalid: Missing the key %s in the item", k)
		case a.kind() != t.types[k]:
			return "", validation("One or more parameter values were invalid: Type mismatch for key %s expected: %s "+
				"actual: %s", k, t.types[k], a.kind())
		case fmt.Sprint(a[a.kind()]) == "":
			return "", validation("One or more parameter values are not valid. The AttributeValue for a key "+
				"attribute cannot contain an empty string value. Key: %s", k)
		}
		text := fmt.Sprint(a[a.kind()])
		if a.kind() == "N" {
			if n, ok := number(text); ok {
				text = n.RatString()
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\x00"), nil
}

// exactKey is key for a request's Key, which must have only the key attributes.
func (t *Table) exactKey(k item) (string, error) {
	want := 1
	if t.rng != "" {
		want = 2
	}
	if _, ok := k[t.hash]; !ok || len(k) != want || t.rng != "" && k[t.rng] == nil {
		return "", validation("The provided key element does not match the schema")
	}
	for name, a := range k {
		if a.kind() != t.types[name] {
			return "", validation("The provided key element does not match the schema")
		}
	}
	return t.key(k)
}

// maxItem is DynamoDB's limit on an item, in bytes.
const maxItem = 400 << 10

func (t *Table) checkItem(it item) error {
	for name, a := range it {
		switch k := a.kind(); {
		case (k == "SS" || k == "NS" || k == "BS") && len(setOf(a)) == 0:
			return validation("One or more parameter values were invalid: An %s  may not be empty",
				map[string]string{"SS": "string set", "NS": "number set", "BS": "binary set"}[k])
		case k == "N":
			if _, ok := number(fmt.Sprint(a["N"])); !ok {
				return validation("The parameter cannot be converted to a numeric value: %v", a["N"])
			}
		}
		if want := t.types[name]; want != "" && a.kind() != want && name != t.hash && name != t.rng {
			index := kernel.Find(t.indexes, func(i *dynamoIndex) bool { return i.hash == name || i.rng == name })
			return validation("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: "+
				"%s Actual: %s IndexName: %s", name, want, a.kind(), index.name)
		}
	}
	if itemSize(it) > maxItem {
		return validation("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// expressions are the parameters with expressions and their placeholders.
type expressions struct {
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attribute
	ReturnValuesOnConditionCheckFailure string
}

// parser returns a function that parses one expression of the request, and one
// that reports names and values that no expression used.
func (e expressions) parser() (parse func(kind, text string, f func(*expression)) error, unused func() error) {
	used := map[string]bool{}
	parse = func(kind, text string, f func(*expression)) error {
		x := &expression{kind: kind, names: e.ExpressionAttributeNames, values: e.ExpressionAttributeValues, used: used}
		return x.parse(text, func() { f(x) })
	}
	unused = func() error {
		for _, k := range kernel.SortedKeys(e.ExpressionAttributeValues) {
			if !used[k] {
				return validation("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", k)
			}
		}
		for _, k := range kernel.SortedKeys(e.ExpressionAttributeNames) {
			if !used[k] {
				return validation("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", k)
			}
		}
		return nil
	}
	return parse, unused
}

// prepared is one write, checked and ready to be judged and applied.
type prepared struct {
	table       *Table
	key         string
	condition   test
	returnOld   bool
	apply       func(old item) (item, error) // nil for a condition check; returns nil to delete
	old, result item
}

func (w *prepared) judge() error {
	w.old = w.table.items[w.key]
	if w.condition != nil && !w.condition(w.old) {
		e := kernel.Errorf("ConditionalCheckFailedException", "The conditional request failed")
		if w.returnOld && w.old != nil {
			e.Extra = map[string]any{"Item": w.old}
		}
		return e
	}
	if w.apply == nil {
		return nil
	}
	var err error
	w.result, err = w.apply(w.old)
	return err
}

func (w *prepared) commit() {
	if w.apply == nil {
		return
	}
	w.table.replace(w.table.items[w.key], w.result)
	if w.result == nil {
		delete(w.table.items, w.key)
		return
	}
	w.table.items[w.key] = w.result
}

// id names the item that is written, among those of all tables.
func (w *prepared) id() string { return w.table.Name + "\x00" + w.key }

func (s *Service) preparePut(table string, it item, e expressions) (*prepared, error) {
	t, err := s.Table(table)
	if err != nil {
		return nil, err
	}
	w := &prepared{table: t, returnOld: e.ReturnValuesOnConditionCheckFailure == "ALL_OLD",
		apply: func(item) (item, error) {
			return it, nil
		}}
	if w.key, err = t.key(it); err != nil {
		return nil, err
	}
	if err := t.checkItem(it); err != nil {
		return nil, err
	}
	return w, w.withCondition(e, nil)
}

// withCondition parses the write's condition and other expressions.
func (w *prepared) withCondition(e expressions,
	more func(parse func(string, string, func(*expression)) error) error) error {
	parse, unused := e.parser()
	if more != nil {
		if err := more(parse); err != nil {
			return err
		}
	}
	if e.ConditionExpression != "" {
		if err := parse("ConditionExpression", e.ConditionExpression, func(x *expression) {
			w.condition = x.condition()
		}); err != nil {
			return err
		}
	}
	return unused()
}

func (s *Service) prepareKeyed(table string, key item, e expressions) (*prepared, error) {
	t, err := s.Table(table)
	if err != nil {
		return nil, err
	}
	w := &prepared{table: t, returnOld: e.ReturnValuesOnConditionCheckFailure == "ALL_OLD"}
	w.key, err = t.exactKey(key)
	return w, err
}

func (s *Service) prepareUpdate(table string, key item, update string, e expressions) (*prepared, []change, error) {
	w, err := s.prepareKeyed(table, key, e)
	if err != nil {
		return nil, nil, err
	}
	var changes []change
	err = w.withCondition(e, func(parse func(string, string, func(*expression)) error) error {
		if update == "" {
			return nil
		}
		return parse("UpdateExpression", update, func(x *expression) { changes = x.update() })
	})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if top := c.at[0]; top == w.table.hash || top == w.table.rng {
			return nil, nil, validation("One or more parameter values were invalid: Cannot update attribute %s. "+
				"This attribute is part of the key", top)
		}
	}
	w.apply = func(old item) (item, error) {
		next := item{}
		maps.Copy(next, old)
		maps.Copy(next, key)
		for _, c := range changes {
			if err := c.apply(old, next); err != nil {
				return nil, err
			}
		}
		return next, w.table.checkItem(next)
	}
	return w, changes, nil
}

func (s *Service) prepareDelete(table string, key item, e expressions) (*prepared, error) {
	w, err := s.prepareKeyed(table, key, e)
	if err != nil {
		return nil, err
	}
	w.apply = func(item) (item, error) { return nil, nil }
	return w, w.withCondition(e, nil)
}

type writeOutput struct {
	Attributes item `json:",omitempty"`
}

type returning struct {
	ReturnValues                string
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}

func (w *prepared) output(r returning, changes []change) *writeOutput {
	pick := func(it item) item {
		out := item{}
		for _, c := range changes {
			name := c.at[0].(string)
			if a, ok := it[name]; ok {
				out[name] = a
			}
		}
		return out
	}
	switch r.ReturnValues {
	case "ALL_OLD":
		return &writeOutput{w.old}
	case "ALL_NEW":
		return &writeOutput{w.result}
	case "UPDATED_OLD":
		return &writeOutput{pick(w.old)}
	case "UPDATED_NEW":
		return &writeOutput{pick(w.result)}
	}
	return &writeOutput{}
}

// write executes a single prepared write, and returns its reply.
func (s *Service) write(w *prepared, err error, r returning, changes []change) (*writeOutput, error) {
	if err == nil && s.locked[w.id()] {
		err = kernel.Errorf("TransactionConflictException", "Transaction is ongoing for the item")
	}
	if err == nil {
		err = w.judge()
	}
	if err != nil {
		return nil, err
	}
	w.commit()
	s.wrote(w, 1)
	return w.output(r, changes), nil
}

func (s *Service) putItem(_ *kernel.Call, in *struct {
	TableName string
	Item      item
	expressions
	returning
}) (*writeOutput, error) {
	w, err := s.preparePut(in.TableName, in.Item, in.expressions)
	return s.write(w, err, in.returning, nil)
}

func (s *Service) updateItem(_ *kernel.Call, in *struct {
	TableName        string
	Key              item
	UpdateExpression string
	expressions
	returning
}) (*writeOutput, error) {
	w, changes, err := s.prepareUpdate(in.TableName, in.Key, in.UpdateExpression, in.expressions)
	return s.write(w, err, in.returning, changes)
}

func (s *Service) deleteItem(_ *kernel.Call, in *struct {
	TableName string
	Key       item
	expressions
	returning
}) (*writeOutput, error) {
	w, err := s.prepareDelete(in.TableName, in.Key, in.expressions)
	return s.write(w, err, in.returning, nil)
}

func (s *Service) getItem(_ *kernel.Call, in *struct {
	TableName                string
	Key                      item
	ConsistentRead           bool
	ProjectionExpression     string
	ExpressionAttributeNames map[string]string
	ReturnConsumedCapacity   string
}) (*struct {
	Item item `json:",omitempty"`
}, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, err
	}
	key, err := t.exactKey(in.Key)
	if err != nil {
		return nil, err
	}
	got := t.items[key]
	s.looked(itemSize(got), in.ConsistentRead)
	if in.ProjectionExpression != "" && got != nil {
		if got, err = project(got, in.ProjectionExpression, expressions{
			ExpressionAttributeNames: in.ExpressionAttributeNames,
		}); err != nil {
			return nil, err
		}
	}
	return &struct {
		Item item `json:",omitempty"`
	}{got}, nil
}

// project returns the attributes that a projection names; nested paths are not
// simulated.
func project(it item, text string, e expressions) (item, error) {
	parse, _ := e.parser()
	out := item{}
	err := parse("ProjectionExpression", text, func(x *expression) {
		for {
			p := x.path()
			if len(p) > 1 {
				x.fail("the sandbox does not simulate nested paths here")
			}
			if a := it.get(p); a != nil {
				out[p[0].(string)] = a
			}
			if !x.word(",") {
				return
			}
		}
	})
	return out, err
}

type readInput struct {
	TableName                 string
	IndexName                 string
	KeyConditionExpression    string
	FilterExpression          string
	ProjectionExpression      string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]attribute
	ConsistentRead            bool
	ScanIndexForward          *bool
	Limit                     int
	ExclusiveStartKey         item
	Select                    string
	ReturnConsumedCapacity    string
}

type readOutput struct {
	Items            []item `json:",omitzero"`
	Count            int
	ScannedCount     int
	LastEvaluatedKey item `json:",omitempty"`
	size             int
}

func (s *Service) query(_ *kernel.Call, in *readInput) (*readOutput, error) {
	if in.KeyConditionExpression == "" {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in " +
			"the request.")
	}
	return s.read(in)
}

func (s *Service) scan(_ *kernel.Call, in *readInput) (*readOutput, error) { return s.read(in) }

func (s *Service) read(in *readInput) (*readOutput, error) {
	t, err := s.Table(in.TableName)
	if err != nil {
		return nil, err
	}
	hash, rng := t.hash, t.rng
	if in.IndexName != "" {
		i := kernel.Find(t.indexes, func(i *dynamoIndex) bool { return i.name == in.IndexName })
		if i == nil {
			return nil, validation("The table does not have the specified index: %s", in.IndexName)
		}
		if !i.local && in.ConsistentRead {
			return nil, validation("Consistent reads are not supported on global secondary indexes")
		}
		hash, rng = i.hash, i.rng
	}
	e := expressions{
		ExpressionAttributeNames: in.ExpressionAttributeNames, ExpressionAttributeValues: in.ExpressionAttributeValues,
	}
	parse, unused := e.parser()
	var keyTest, filterTest test
	if in.KeyConditionExpression != "" {
		if err := parse("KeyConditionExpression", in.KeyConditionExpression, func(x *expression) {
			keyTest = x.condition()
		}); err != nil {
			return nil, err
		}
		if !slices.Contains(namesIn(in.KeyConditionExpression, in.ExpressionAttributeNames), hash) {
			return nil, validation("Query condition missed key schema element: %s", hash)
		}
	}
	if in.FilterExpression != "" {
		if err := parse("FilterExpression", in.FilterExpression, func(x *expression) {
			filterTest = x.condition()
		}); err != nil {
			return nil, err
		}
	}
	if in.ProjectionExpression == "" {
		if err := unused(); err != nil {
			return nil, err
		}
	}
	out, err := t.page(in, e, hash, rng, keyTest, filterTest)
	if err == nil {
		s.looked(out.size, in.ConsistentRead)
	}
	return out, err
}

// namesIn returns the attribute names that an expression uses.
func namesIn(text string, names map[string]string) []string {
	var out []string
	for _, tok := range tokenize(text) {
		if n, ok := names[tok]; ok {
			tok = n
		}
		out = append(out, tok)
	}
	return out
}

// maxPage is how much a query reads before it ends its page, in bytes.
const maxPage = 1 << 20

// compare orders two items by the keys of an index, then by the table's own.
func (t *Table) compare(a, b item, hash, rng string) int {
	for _, k := range []string{hash, rng, t.hash, t.rng} {
		if k == "" {
			continue
		}
		if c, ok := order(a[k], b[k]); ok && c != 0 {
			return c
		}
	}
	return 0
}

// left returns the rows, in order, that a read has not examined yet.
func (t *Table) left(index *rows, in *readInput, forward bool) []row {
	left := index.sorted[t.from(index, in):]
	if in.ExclusiveStartKey == nil {
		return left
	}
	i, found := slices.BinarySearchFunc(left, in.ExclusiveStartKey, t.compareRow(index))
	switch {
	case !forward:
		return left[:i]
	case found:
		return left[i+1:]
	}
	return left[i:]
}

func (t *Table) page(in *readInput, e expressions, hash, rng string, keyTest, filterTest test) (*readOutput, error) {
	index := t.rowsOf(hash, rng)
	forward := in.ScanIndexForward == nil || *in.ScanIndexForward
	rows := t.left(index, in, forward)
	at := func(i int) row {
		if forward {
			return rows[i]
		}
		return rows[len(rows)-1-i]
	}
	out := &readOutput{Items: []item{}}
	var last item // the last one that was read
	more := false
	for i := range rows {
		it := at(i).item
		if keyTest != nil && !keyTest(it) {
			if last != nil {
				break // the selected rows are contiguous
			}
			continue
		}
		if more = in.Limit > 0 && out.ScannedCount == in.Limit || out.size >= maxPage; more {
			break
		}
		last = it
		out.size += at(i).size
		out.ScannedCount++
		if filterTest == nil || filterTest(it) {
			if in.ProjectionExpression != "" {
				var err error
				if it, err = project(it, in.ProjectionExpression, e); err != nil {
					return nil, err
				}
			}
			out.Items = append(out.Items, it)
		}
	}
	if more || in.Limit > 0 && out.ScannedCount == in.Limit { // at the limit even if nothing follows
		out.LastEvaluatedKey = item{}
		for _, k := range []string{t.hash, t.rng, hash, rng} {
			if k != "" {
				out.LastEvaluatedKey[k] = last[k]
			}
		}
	}
	out.Count = len(out.Items)
	if in.Select == "COUNT" {
		out.Items = nil
	}
	return out, nil
}

type transactPut struct {
	TableName string
	Item      item
	expressions
}

type transactKeyed struct {
	TableName        string
	Key              item
	UpdateExpression string
	expressions
}

func (s *Service) transactWrite(c *kernel.Call, in *struct {
	TransactItems               []transactItem
	ClientRequestToken          string
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}) (*kernel.None, error) {
	if done, ok := s.tokens[in.ClientRequestToken]; ok && in.ClientRequestToken != "" &&
		s.Clock.Now().Sub(done) < tokenKept {
		return &kernel.None{}, nil // a repeat of a successful transaction
	}
	if len(in.TransactItems) > 100 {
		return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: " +
			"Member must have length less than or equal to 100")
	}
	var writes []*prepared
	seen := map[string]bool{}
	for _, ti := range in.TransactItems {
		w, err := s.prepareItem(ti)
		if err != nil {
			return nil, err
		}
		if id := w.id(); seen[id] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		} else {
			seen[id] = true
		}
		writes = append(writes, w)
	}
	if transactionSize(writes) > maxTransaction {
		return nil, validation("The aggregate size of the items in the transaction exceeds the limit of %d bytes",
			maxTransaction)
	}
	if err := s.lockAll(writes); err != nil {
		return nil, err
	}
	s.During(c, transactionTakes)
	for _, w := range writes {
		delete(s.locked, w.id())
	}
	out, err := s.commitAll(writes)
	if err == nil && in.ClientRequestToken != "" {
		s.tokens[in.ClientRequestToken] = s.Clock.Now()
	}
	return out, err
}

type transactItem struct {
	Put                            *transactPut
	Update, Delete, ConditionCheck *transactKeyed
}

// prepareItem prepares one operation of a transaction.
func (s *Service) prepareItem(ti transactItem) (w *prepared, err error) {
	switch {
	case ti.Put != nil:
		return s.preparePut(ti.Put.TableName, ti.Put.Item, ti.Put.expressions)
	case ti.Update != nil:
		w, _, err = s.prepareUpdate(ti.Update.TableName, ti.Update.Key, ti.Update.UpdateExpression,
			ti.Update.expressions)
		return w, err
	case ti.Delete != nil:
		return s.prepareDelete(ti.Delete.TableName, ti.Delete.Key, ti.Delete.expressions)
	case ti.ConditionCheck != nil:
		check := ti.ConditionCheck
		if w, err = s.prepareKeyed(check.TableName, check.Key, check.expressions); err == nil {
			err = w.withCondition(check.expressions, nil)
		}
		return w, err
	}
	return nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
}

// maxTransaction is DynamoDB's limit on the items of a transaction together, in
// bytes, and transactionTakes how long one takes: another that touches one of its
// items meanwhile, a condition check included, is cancelled.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
const (
	maxTransaction   = 4 << 20
	transactionTakes = 5 * time.Millisecond
)

func transactionSize(writes []*prepared) int {
	n := 0
	for _, w := range writes {
		if w.apply == nil {
			continue
		}
		if it, err := w.apply(w.table.items[w.key]); err == nil {
			n += itemSize(it)
		}
	}
	return n
}

// lockAll locks the items of a transaction, unless another one holds any of them.
func (s *Service) lockAll(writes []*prepared) error {
	reasons := make([]map[string]any, len(writes))
	codes := make([]string, len(writes))
	conflict := false
	for i, w := range writes {
		reasons[i], codes[i] = map[string]any{"Code": "None"}, "None"
		if s.locked[w.id()] {
			conflict = true
			codes[i] = "TransactionConflict"
			reasons[i] = map[string]any{"Code": codes[i], "Message": "Transaction is ongoing for the item"}
		}
	}
	if conflict {
		return cancelled(codes, reasons)
	}
	for _, w := range writes {
		s.locked[w.id()] = true
	}
	return nil
}

func cancelled(codes []string, reasons []map[string]any) error {
	e := kernel.Errorf("TransactionCanceledException",
		"Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	e.Extra = map[string]any{"CancellationReasons": reasons}
	return e
}

// tokenKept is how long DynamoDB remembers a transaction's token.
const tokenKept = 10 * time.Minute

func (s *Service) commitAll(writes []*prepared) (*kernel.None, error) {
	reasons := make([]map[string]any, len(writes))
	codes := make([]string, len(writes))
	failed := false
	for i, w := range writes {
		err := w.judge()
		reasons[i], codes[i] = map[string]any{"Code": "None"}, "None"
		var e *kernel.APIError
		if errors.As(err, &e) {
			failed = true
			code := strings.TrimSuffix(e.Code, "Exception")
			if e.Code == "ValidationException" {
				code = "ValidationError"
			}
			codes[i] = code
			reasons[i] = map[string]any{"Code": code, "Message": e.Message}
			if old, ok := e.Extra["Item"]; ok {
				reasons[i]["Item"] = old
			}
		}
	}
	if failed {
		return nil, cancelled(codes, reasons)
	}
	for _, w := range writes {
		w.commit()
		s.wrote(w, 2)
	}
	return &kernel.None{}, nil
}
