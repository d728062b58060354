// Package store keeps sets, runs and leases in one DynamoDB table.
//
// The partition key set is a set's name. The sort key item is "set" for the set
// itself, "run#ID" for a run and "lease#OWNER" for a lease. Runs that are not
// finished, and leases, carry the attribute live, the sort key of the local
// index of the same name: it is sparse and read consistently, so that one query
// shows exactly what holds a set. Finished runs stand in the same index by when
// their end was recorded, before all others, for what is learned from them.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// dynamoAPI is the part of *dynamodb.Client that Store calls.
type dynamoAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ dynamoAPI = (*dynamodb.Client)(nil)

// The attributes of an item.
const (
	attrSet      = "set"
	attrItem     = "item"
	attrLive     = "live"     // sort key of the local index of this name
	attrVersion  = "version"  // of a set
	attrPhase    = "phase"    // of a set
	attrUsable   = "usable"   // of a set, in milliseconds from 1970
	attrAttended = "attended" // of a set, in milliseconds from 1970
	attrServices = "services" // of a set: what its generation serves; missing for nothing
	attrPaused   = "paused"   // of a set: there if nothing is to be started or created
	attrProgress = "progress" // of a run: its state
	attrAttempt  = "attempt"  // of a run
	attrData     = "data"     // the whole as JSON
	attrExpires  = "expires"  // when DynamoDB may delete it, in seconds from 1970
)

const (
	setItem     = "set"
	runPrefix   = "run#"
	leasePrefix = "lease#"
	donePrefix  = "done#"
	noteItem    = "note"
)

// keepFinished is how long a finished run is kept: as long as a repeated event
// must be known for one.
const keepFinished = 90 * 24 * time.Hour

// Store is a table. Its methods are one call to DynamoDB each, save Live, which
// takes a call a megabyte.
type Store struct {
	api   dynamoAPI
	table string
}

// New returns the store in a table.
func New(api dynamoAPI, table string) *Store { return &Store{api, table} }

// TableInput describes the table that a Store needs.
func TableInput(name string) *dynamodb.CreateTableInput {
	text := func(n string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(n), AttributeType: types.ScalarAttributeTypeS}
	}
	key := func(n string, t types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(n), KeyType: t}
	}
	return &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{text(attrSet), text(attrItem), text(attrLive)},
		KeySchema:            []types.KeySchemaElement{key(attrSet, types.KeyTypeHash), key(attrItem, types.KeyTypeRange)},
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{{
			IndexName:  aws.String(attrLive),
			KeySchema:  []types.KeySchemaElement{key(attrSet, types.KeyTypeHash), key(attrLive, types.KeyTypeRange)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
	}
}

// ExpiryAttribute is the attribute that DynamoDB's time to live has to watch.
const ExpiryAttribute = attrExpires

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// millis returns t in milliseconds from 1970, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func key(set scheduler.SetName, item string) attributes {
	return attributes{attrSet: text(string(set)), attrItem: text(item)}
}

func dataOf(item attributes, v any) error {
	s, ok := item[attrData].(*types.AttributeValueMemberS)
	if !ok {
		return fmt.Errorf("item %v has no data", item[attrItem])
	}
	return json.Unmarshal([]byte(s.Value), v)
}

func encode(v any) (types.AttributeValue, error) {
	b, err := json.Marshal(v)
	return text(string(b)), err
}

// LoadSet returns a set, or one in phase absent with version 0.
func (s *Store) LoadSet(ctx context.Context, name scheduler.SetName) (scheduler.Set, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(name, setItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return scheduler.Set{}, awserr.Mark(err, "load set %s", name)
	}
	if len(out.Item) == 0 {
		return scheduler.Set{Name: name, Phase: scheduler.Absent}, nil
	}
	var set scheduler.Set
	if err := dataOf(out.Item, &set); err != nil {
		return scheduler.Set{}, fmt.Errorf("load set %s: %w", name, err)
	}
	return set, nil
}

// SaveSet writes a set if its version still stands.
func (s *Store) SaveSet(ctx context.Context, set scheduler.Set) (scheduler.Set, error) {
	before := set.Version
	set.Version++
	data, err := encode(set)
	if err != nil {
		return set, fmt.Errorf("save set %s: %w", set.Name, err)
	}
	item := key(set.Name, setItem)
	item[attrVersion], item[attrPhase], item[attrData] = number(set.Version), text(string(set.Phase)), data
	item[attrUsable], item[attrAttended] = number(millis(set.Usable)), number(millis(set.AttendedUntil))
	if len(set.Services) > 0 {
		item[attrServices] = &types.AttributeValueMemberSS{Value: set.Services}
	}
	if set.Pause != nil || set.TakeDown != "" {
		item[attrPaused] = text("yes")
	}
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: item,
		ConditionExpression:       aws.String("#version = :before"),
		ExpressionAttributeNames:  map[string]string{"#version": attrVersion},
		ExpressionAttributeValues: attributes{":before": number(before)},
	}
	if before == 0 {
		in.ConditionExpression, in.ExpressionAttributeValues = aws.String("attribute_not_exists(#version)"), nil
	}
	if _, err := s.api.PutItem(ctx, in); err != nil {
		set.Version = before
		return set, conflictOr(err, "save set %s", set.Name)
	}
	return set, nil
}

// conflictOr marks a failed write: as a conflict if its condition did not hold.
func conflictOr(err error, format string, args ...any) error {
	var failed *types.ConditionalCheckFailedException
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &failed) || errors.As(err, &cancelled) {
		return fmt.Errorf(format+": %w", append(args, scheduler.ErrConflict)...)
	}
	return awserr.Mark(err, format, args...)
}

// query reads what a condition on the keys selects, page by page. values holds what
// stands in the condition beside :set.
func (s *Store) query(ctx context.Context, set scheduler.SetName, index *string, condition, sortKey string, values map[string]string, each func(attributes) error) error {
	in := &dynamodb.QueryInput{
		TableName: &s.table, IndexName: index, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#set = :set AND " + condition),
		ExpressionAttributeNames:  map[string]string{"#set": attrSet, "#key": sortKey},
		ExpressionAttributeValues: attributes{":set": text(string(set))},
	}
	for name, value := range values {
		in.ExpressionAttributeValues[name] = text(value)
	}
	for {
		out, err := s.api.Query(ctx, in)
		if err != nil {
			return err
		}
		for _, item := range out.Items {
			if err := each(item); err != nil {
				return err
			}
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return nil
		}
	}
}

// collect adds what an item holds to a list.
func collect[T any](item attributes, into *[]T) error {
	var v T
	if err := dataOf(item, &v); err != nil {
		return err
	}
	*into = append(*into, v)
	return nil
}

// Live returns the runs that are not finished, in order of arrival, and the
// leases.
func (s *Store) Live(ctx context.Context, name scheduler.SetName) (runs []scheduler.Run, leases []scheduler.Lease, err error) {
	err = s.query(ctx, name, aws.String(attrLive), "#key >= :lease", attrLive, map[string]string{":lease": leasePrefix}, func(item attributes) error {
		if sk, ok := item[attrItem].(*types.AttributeValueMemberS); ok && strings.HasPrefix(sk.Value, leasePrefix) {
			return collect(item, &leases)
		}
		return collect(item, &runs)
	})
	return runs, leases, awserr.Mark(err, "list what holds set %s", name)
}

// sortable writes an instant so that texts are in the order of instants.
func sortable(t time.Time) string { return t.UTC().Format("20060102T150405.000000000") }

// Ended returns the runs whose end was recorded after an instant, in that order. It
// takes a call a megabyte.
func (s *Store) Ended(ctx context.Context, name scheduler.SetName, after time.Time) (runs []scheduler.Run, err error) {
	between := map[string]string{":after": donePrefix + sortable(after.Add(time.Nanosecond)), ":last": donePrefix + "~"}
	err = s.query(ctx, name, aws.String(attrLive), "#key BETWEEN :after AND :last", attrLive, between, func(item attributes) error { return collect(item, &runs) })
	return runs, awserr.Mark(err, "list the runs of set %s that have ended", name)
}

func runItem(r scheduler.Run) (attributes, error) {
	data, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("encode run %s: %w", r.ID, err)
	}
	item := key(r.Set, runPrefix+string(r.ID))
	item[attrProgress], item[attrAttempt], item[attrData] = text(string(r.State)), number(int64(r.Attempt)), data
	if r.State == scheduler.Finished {
		item[attrExpires] = number(r.FinishedAt.Add(keepFinished).Unix())
		if !r.RecordedAt.IsZero() {
			item[attrLive] = text(donePrefix + sortable(r.RecordedAt) + "#" + string(r.ID))
		}
	} else {
		item[attrLive] = text(runPrefix + sortable(r.ReceivedAt) + "#" + string(r.ID))
	}
	return item, nil
}

// Admit records new runs as starting if all are new and the set takes runs.
func (s *Store) Admit(ctx context.Context, name scheduler.SetName, now time.Time, runs []scheduler.Run) error {
	if len(runs) >= maxTransaction {
		return &scheduler.NotAdmittedError{}
	}
	items := make([]types.TransactWriteItem, 0, len(runs)+1)
	for _, r := range runs {
		put, err := s.putNew(r)
		if err != nil {
			return err
		}
		items = append(items, types.TransactWriteItem{Put: put})
	}
	check := &types.ConditionCheck{
		TableName: &s.table, Key: key(name, setItem),
		ConditionExpression:       aws.String("#phase = :available AND #usable <= :now AND #attended <= :now AND attribute_not_exists(#paused)"),
		ExpressionAttributeNames:  map[string]string{"#phase": attrPhase, "#usable": attrUsable, "#attended": attrAttended, "#paused": attrPaused},
		ExpressionAttributeValues: attributes{":available": text(string(scheduler.Available)), ":now": number(millis(now))},
	}
	demandServices(check, runs)
	items = append(items, types.TransactWriteItem{ConditionCheck: check})
	_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err == nil {
		return nil
	}
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return awserr.Mark(err, "admit %d runs to set %s", len(runs), name)
	}
	return refusal(cancelled, len(runs))
}

// demandServices adds to a condition on a set that it serves all that runs need.
func demandServices(check *types.ConditionCheck, runs []scheduler.Run) {
	seen := map[string]bool{}
	for _, r := range runs {
		for _, n := range r.Needs {
			if seen[n] {
				continue
			}
			name := fmt.Sprintf(":need%d", len(seen))
			seen[n] = true
			check.ConditionExpression = aws.String(*check.ConditionExpression + " AND contains(#services, " + name + ")")
			check.ExpressionAttributeNames["#services"], check.ExpressionAttributeValues[name] = attrServices, text(n)
		}
	}
}

// maxTransaction is how many items DynamoDB writes at once.
const maxTransaction = 100

// refusal reads why runs were not admitted: the reasons stand in order of the
// items, the set's last.
func refusal(e *types.TransactionCanceledException, runs int) error {
	out := &scheduler.NotAdmittedError{}
	for i, reason := range e.CancellationReasons {
		if aws.ToString(reason.Code) != "ConditionalCheckFailed" {
			continue
		}
		if i == runs {
			out.Closed = true
			continue
		}
		var r scheduler.Run
		if dataOf(reason.Item, &r) == nil {
			out.Known = append(out.Known, r)
		}
	}
	return out
}

func (s *Store) putNew(r scheduler.Run) (*types.Put, error) {
	item, err := runItem(r)
	return &types.Put{
		TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(#item)"),
		ExpressionAttributeNames:            map[string]string{"#item": attrItem},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, err
}

// Record writes a new run, or returns the one that is there with ErrConflict.
func (s *Store) Record(ctx context.Context, r scheduler.Run) (scheduler.Run, error) {
	put, err := s.putNew(r)
	if err != nil {
		return r, err
	}
	_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression, ExpressionAttributeNames: put.ExpressionAttributeNames,
		ReturnValuesOnConditionCheckFailure: put.ReturnValuesOnConditionCheckFailure,
	})
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return r, awserr.Mark(err, "record run %s", r.ID)
	}
	var known scheduler.Run
	if err := dataOf(failed.Item, &known); err != nil {
		return r, fmt.Errorf("record run %s: %w", r.ID, err)
	}
	return known, fmt.Errorf("record run %s: %w", r.ID, scheduler.ErrConflict)
}

// RecordAll writes new runs if all are new.
func (s *Store) RecordAll(ctx context.Context, runs []scheduler.Run) error {
	puts := make([]types.TransactWriteItem, 0, len(runs))
	for _, r := range runs {
		put, err := s.putNew(r)
		if err != nil {
			return err
		}
		puts = append(puts, types.TransactWriteItem{Put: put})
	}
	if _, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: puts}); err != nil {
		return conflictOr(err, "record %d runs, the first %s", len(runs), runs[0].ID)
	}
	return nil
}

// Begin stores the intent to start runs if the set is available and each run
// still waits, or was left starting with the same attempt. fresh says that some of
// them wait; a paused set takes only those that were left.
func (s *Store) Begin(ctx context.Context, name scheduler.SetName, runs []scheduler.Run, fresh bool) error {
	check := &types.ConditionCheck{
		TableName: &s.table, Key: key(name, setItem),
		ConditionExpression:       aws.String("#phase = :available"),
		ExpressionAttributeNames:  map[string]string{"#phase": attrPhase},
		ExpressionAttributeValues: attributes{":available": text(string(scheduler.Available))},
	}
	if fresh {
		check.ConditionExpression = aws.String("#phase = :available AND attribute_not_exists(#paused)")
		check.ExpressionAttributeNames["#paused"] = attrPaused
		demandServices(check, runs)
	}
	items := []types.TransactWriteItem{{ConditionCheck: check}}
	for _, r := range runs {
		item, err := runItem(r)
		if err != nil {
			return err
		}
		items = append(items, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.table, Item: item,
			ConditionExpression:      aws.String("#progress = :waiting AND #attempt = :before OR #progress = :starting AND #attempt = :attempt"),
			ExpressionAttributeNames: map[string]string{"#progress": attrProgress, "#attempt": attrAttempt},
			ExpressionAttributeValues: attributes{
				":waiting": text(string(scheduler.Waiting)), ":starting": text(string(scheduler.Starting)),
				":before": number(int64(r.Attempt - 1)), ":attempt": number(int64(r.Attempt)),
			},
		}})
	}
	_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err != nil {
		return conflictOr(err, "begin %d runs of set %s", len(runs), name)
	}
	return nil
}

// Advance writes runs if each is stored with the same attempt and not finished.
func (s *Store) Advance(ctx context.Context, runs []scheduler.Run) error {
	puts := make([]types.TransactWriteItem, 0, len(runs))
	for _, r := range runs {
		item, err := runItem(r)
		if err != nil {
			return err
		}
		puts = append(puts, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.table, Item: item,
			ConditionExpression:       aws.String("#attempt = :attempt AND #progress <> :finished"),
			ExpressionAttributeNames:  map[string]string{"#attempt": attrAttempt, "#progress": attrProgress},
			ExpressionAttributeValues: attributes{":attempt": number(int64(r.Attempt)), ":finished": text(string(scheduler.Finished))},
		}})
	}
	var err error
	if len(puts) == 1 {
		p := puts[0].Put
		_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
			ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues,
		})
	} else {
		_, err = s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: puts})
	}
	if err != nil {
		return conflictOr(err, "advance %d runs, the first %s", len(runs), runs[0].ID)
	}
	return nil
}

// Run returns a run, and false if there is none.
func (s *Store) Run(ctx context.Context, set scheduler.SetName, id scheduler.RunID) (scheduler.Run, bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(set, runPrefix+string(id)), ConsistentRead: aws.Bool(true)})
	if err != nil || len(out.Item) == 0 {
		return scheduler.Run{}, false, awserr.Mark(err, "load run %s", id)
	}
	var r scheduler.Run
	if err := dataOf(out.Item, &r); err != nil {
		return r, false, fmt.Errorf("load run %s: %w", id, err)
	}
	return r, true, nil
}

// Hold stores a lease, or renews the owner's, unless the set is about to be
// deleted: then it returns ErrConflict. Like the admission of a run it is judged
// together with the phase, so that a deletion never misses it.
func (s *Store) Hold(ctx context.Context, set scheduler.SetName, l scheduler.Lease) error {
	data, err := encode(l)
	if err != nil {
		return fmt.Errorf("hold set %s for %s: %w", set, l.Owner, err)
	}
	item := key(set, leasePrefix+l.Owner)
	item[attrLive], item[attrData], item[attrExpires] = text(leasePrefix+l.Owner), data, number(l.Expires.Unix())
	_, err = s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: &s.table, Item: item}},
		{ConditionCheck: &types.ConditionCheck{
			TableName: &s.table, Key: key(set, setItem),
			ConditionExpression:       aws.String("attribute_not_exists(#phase) OR NOT #phase IN (:draining, :deleting)"),
			ExpressionAttributeNames:  map[string]string{"#phase": attrPhase},
			ExpressionAttributeValues: attributes{":draining": text(string(scheduler.Draining)), ":deleting": text(string(scheduler.Deleting))},
		}},
	}})
	if err != nil {
		return conflictOr(err, "hold set %s for %s", set, l.Owner)
	}
	return nil
}

// Release removes an owner's lease. One that is gone is success.
func (s *Store) Release(ctx context.Context, set scheduler.SetName, owner string) error {
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: key(set, leasePrefix+owner)})
	return awserr.Mark(err, "release set %s for %s", set, owner)
}

// Note reads what SaveNote has written for a set into v, and says whether there
// was anything.
func (s *Store) Note(ctx context.Context, set scheduler.SetName, v any) (bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key(set, noteItem), ConsistentRead: aws.Bool(true)})
	if err != nil || len(out.Item) == 0 {
		return false, awserr.Mark(err, "load the note of set %s", set)
	}
	return true, dataOf(out.Item, v)
}

// SaveNote writes a value beside a set: what an installation that only observes
// would have made.
func (s *Store) SaveNote(ctx context.Context, set scheduler.SetName, v any) error {
	data, err := encode(v)
	if err != nil {
		return fmt.Errorf("save the note of set %s: %w", set, err)
	}
	item := key(set, noteItem)
	item[attrData] = data
	_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item})
	return awserr.Mark(err, "save the note of set %s", set)
}

// Runs returns every run of a set that is kept, finished ones included, in order
// of id. It reads a megabyte a call.
func (s *Store) Runs(ctx context.Context, set scheduler.SetName) (runs []scheduler.Run, err error) {
	err = s.query(ctx, set, nil, "begins_with(#key, :run)", attrItem, map[string]string{":run": runPrefix}, func(item attributes) error { return collect(item, &runs) })
	return runs, awserr.Mark(err, "list the runs of set %s", set)
}

// Forget removes the record of a run that was sent to the dead-letter queue, so
// that its event counts as new. Any other run stays, with ErrConflict.
func (s *Store) Forget(ctx context.Context, r scheduler.Run) error {
	if r.Outcome != scheduler.DeadLettered {
		return fmt.Errorf("forget run %s: %w: it is %s %s", r.ID, scheduler.ErrConflict, r.State, r.Outcome)
	}
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: key(r.Set, runPrefix+string(r.ID)),
		ConditionExpression:       aws.String("attribute_not_exists(#item) OR #progress = :finished AND #attempt = :attempt"),
		ExpressionAttributeNames:  map[string]string{"#item": attrItem, "#progress": attrProgress, "#attempt": attrAttempt},
		ExpressionAttributeValues: attributes{":finished": text(string(scheduler.Finished)), ":attempt": number(int64(r.Attempt))},
	})
	if err != nil {
		return conflictOr(err, "forget run %s", r.ID)
	}
	return nil
}
