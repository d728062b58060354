// Package store keeps sets, runs and holds in one DynamoDB table.
//
// The partition key set is a set's name. The sort key item is "set" for the set
// itself, "run#ID" for a run, "event#ID" for the event of a run that is too large to
// be read with it, and "hold#OWNER" for a hold. Runs that are not
// finished, and holds, carry the attribute live, the sort key of the local
// index of the same name: it is sparse and read consistently, so that one query
// shows exactly what holds a set. Finished runs stand in the same index by when
// their end was recorded, before all others, for what is learned from them.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// dynamoAPI is the part of *dynamodb.Client that Store calls.
type dynamoAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput,
		...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput,
		...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ dynamoAPI = (*dynamodb.Client)(nil)

// The attributes of an item.
const (
	attrSet       = "set"
	attrItem      = "item"
	attrLive      = "live"      // sort key of the local index of this name
	attrVersion   = "version"   // of a set
	attrPhase     = "phase"     // of a set
	attrServices  = "services"  // of a set: what its generation serves; missing for nothing
	attrPaused    = "paused"    // of a set: there if nothing is to be started or created
	attrProgress  = "progress"  // of a run: its state
	attrAttempt   = "attempt"   // of a run
	attrCancelled = "cancelled" // who cancels a run
	attrRefusals  = "refusals"  // of a run
	attrEvent     = "event"     // of an event, in binary
	attrData      = "data"      // the whole as JSON
	attrExpires   = "expires"   // when DynamoDB may delete it, in seconds from 1970
)

const (
	setItem     = "set"
	runPrefix   = "run#"
	eventPrefix = "event#"
	holdPrefix  = "hold#"
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

// ExpiryAttribute is the attribute that DynamoDB's time to live has to watch.
const ExpiryAttribute = attrExpires

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
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
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(name, setItem), ConsistentRead: aws.Bool(true),
	})
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
	item[attrVersion] = number(set.Version)
	item[attrPhase] = text(string(set.Phase))
	item[attrData] = data
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

// conflictOr marks a failed write: as a conflict if its condition did not hold. A
// transaction that met another one on an item is tried again, no conflict.
func conflictOr(err error, format string, args ...any) error {
	var failed *types.ConditionalCheckFailedException
	var cancelled *types.TransactionCanceledException
	switch {
	case errors.As(err, &failed), errors.As(err, &cancelled) && !met(cancelled):
		return fmt.Errorf(format+": %w", append(args, reconcile.ErrConflict)...)
	case cancelled != nil:
		return fmt.Errorf(format+": %w: %w", append(args, reconcile.ErrTemporary, err)...)
	}
	return awserr.Mark(err, format, args...)
}

// met reports whether a transaction was cancelled only because others were at work
// on its items, or because it came too soon.
func met(e *types.TransactionCanceledException) bool {
	for _, reason := range e.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "None", "", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
		default:
			return false
		}
	}
	return true
}

// meetings is how often a transaction is tried that meets others, meetingPause how
// long after the first; each further pause is twice as long.
const (
	meetings     = 5
	meetingPause = 20 * time.Millisecond
)

// transact writes items at once, again where it meets other transactions.
func (s *Store) transact(ctx context.Context, items []types.TransactWriteItem) error {
	for try := 1; ; try++ {
		_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
		var cancelled *types.TransactionCanceledException
		if !errors.As(err, &cancelled) || !met(cancelled) || try == meetings {
			return err
		}
		pause := meetingPause << (try - 1)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// query reads what a condition on the keys selects, page by page. values holds what
// the condition contains in addition to :set.
func (s *Store) query(ctx context.Context, set scheduler.SetName, index *string, condition, sortKey string,
	values map[string]string, each func(attributes) error) error {
	in := &dynamodb.QueryInput{
		TableName: &s.table, IndexName: index, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#set = :set AND " + condition),
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

// maxLive bounds what Live reads, in bytes of the items' data, so that an invocation
// has memory enough for any burst.
const maxLive = 24 << 20

// errEnough ends a query that has read enough.
var errEnough = errors.New("enough was read")

// Live returns the holds and the runs that are not finished, in order of arrival. Of
// more runs than an invocation has memory for it returns the first; the others are
// seen when those have ended.
func (s *Store) Live(ctx context.Context,
	name scheduler.SetName) (runs []scheduler.Run, holds []scheduler.Hold, err error) {
	read := 0
	err = s.query(ctx, name, aws.String(attrLive), "#key >= :hold", attrLive, map[string]string{":hold": holdPrefix},
		func(item attributes) error {
			if data, ok := item[attrData].(*types.AttributeValueMemberS); ok {
				read += len(data.Value)
			}
			if read > maxLive && len(runs) > 0 {
				return errEnough
			}
			if sk, ok := item[attrItem].(*types.AttributeValueMemberS); ok && strings.HasPrefix(sk.Value, holdPrefix) {
				return collect(item, &holds)
			}
			return collect(item, &runs)
		})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return runs, holds, awserr.Mark(err, "list what holds set %s", name)
}

// sortable writes an instant so that texts are in the order of instants.
func sortable(t time.Time) string { return t.UTC().Format("20060102T150405.000000000") }

// Ended returns the runs whose end was recorded after an instant, in that order. It
// takes a call a megabyte.
func (s *Store) Ended(ctx context.Context, name scheduler.SetName, after time.Time) (runs []scheduler.Run, err error) {
	between := map[string]string{":after": donePrefix + sortable(after.Add(time.Nanosecond)), ":last": donePrefix + "~"}
	err = s.query(ctx, name, aws.String(attrLive), "#key BETWEEN :after AND :last", attrLive, between,
		func(item attributes) error {
			return collect(item, &runs)
		})
	return runs, awserr.Mark(err, "list the runs of set %s that have ended", name)
}

// runItem returns a run's item. One that is finished needs neither its event nor its
// overrides any more: what is kept of it for keepFinished is below a kilobyte.
func runItem(r scheduler.Run) (attributes, error) {
	if r.SourceApart {
		r.Source = nil
	}
	if r.State == scheduler.Finished {
		r.Source, r.Overrides = nil, nil
	}
	data, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("encode run %s: %w", r.ID, err)
	}
	item := key(r.Set, runPrefix+string(r.ID))
	item[attrProgress] = text(string(r.State))
	item[attrAttempt] = number(int64(r.Attempt))
	item[attrRefusals] = number(int64(r.Refusals))
	item[attrData] = data
	if r.CancelledBy != "" {
		item[attrCancelled] = text(r.CancelledBy)
	}
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
			check.ConditionExpression = aws.String(*check.ConditionExpression + " AND contains(#services, " + name +
				")")
			check.ExpressionAttributeNames["#services"], check.ExpressionAttributeValues[name] = attrServices, text(n)
		}
	}
}

// putNew returns the writes of a new run: its item, and its event if that is kept apart.
func (s *Store) putNew(r scheduler.Run) ([]types.TransactWriteItem, error) {
	item, err := runItem(r)
	if err != nil {
		return nil, err
	}
	out := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(#item)"),
		ExpressionAttributeNames:            map[string]string{"#item": attrItem},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	if r.SourceApart {
		event := key(r.Set, eventPrefix+string(r.ID))
		event[attrEvent] = &types.AttributeValueMemberB{Value: r.Source}
		out = append(out, types.TransactWriteItem{Put: &types.Put{TableName: &s.table, Item: event}})
	}
	return out, nil
}

// Record writes a new run, or returns the one that is there with ErrConflict.
func (s *Store) Record(ctx context.Context, r scheduler.Run) (scheduler.Run, error) {
	writes, err := s.putNew(r)
	if err != nil {
		return r, err
	}
	old := attributes(nil)
	if len(writes) == 1 {
		put := writes[0].Put
		_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames:            put.ExpressionAttributeNames,
			ReturnValuesOnConditionCheckFailure: put.ReturnValuesOnConditionCheckFailure,
		})
		var failed *types.ConditionalCheckFailedException
		if errors.As(err, &failed) {
			old = failed.Item
		}
	} else {
		err = s.transact(ctx, writes)
		var cancelled *types.TransactionCanceledException
		if errors.As(err, &cancelled) && !met(cancelled) {
			old = cancelled.CancellationReasons[0].Item
		}
	}
	if old == nil {
		return r, conflictOr(err, "record run %s", r.ID)
	}
	var known scheduler.Run
	if err := dataOf(old, &known); err != nil {
		return r, fmt.Errorf("record run %s: %w", r.ID, err)
	}
	return known, fmt.Errorf("record run %s: %w", r.ID, reconcile.ErrConflict)
}

// RecordAll writes new runs if all are new.
func (s *Store) RecordAll(ctx context.Context, runs []scheduler.Run) error {
	var writes []types.TransactWriteItem
	for _, r := range runs {
		w, err := s.putNew(r)
		if err != nil {
			return err
		}
		writes = append(writes, w...)
	}
	if err := s.transact(ctx, writes); err != nil {
		return conflictOr(err, "record %d runs, the first %s", len(runs), runs[0].ID)
	}
	return nil
}

// Source returns the event of a run that is kept apart from it.
func (s *Store) Source(ctx context.Context, r scheduler.Run) ([]byte, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(r.Set, eventPrefix+string(r.ID)), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, awserr.Mark(err, "load the event of run %s", r.ID)
	}
	event, _ := out.Item[attrEvent].(*types.AttributeValueMemberB)
	if event == nil {
		return nil, nil // the record is worth more than none
	}
	return event.Value, nil
}

// Begin stores the intent to start runs if the set is available and each run
// still waits, or was left starting with the same attempt, and ECS has not refused it
// since. fresh says that some of
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
			ConditionExpression: aws.String("(#progress = :waiting AND #attempt IN (:before, :attempt) OR " +
				"#progress = :starting AND #attempt = :attempt) AND " + sameRefusals(r)),
			ExpressionAttributeNames: map[string]string{
				"#progress": attrProgress, "#attempt": attrAttempt, "#refusals": attrRefusals,
			},
			ExpressionAttributeValues: attributes{
				":waiting": text(string(scheduler.Waiting)), ":starting": text(string(scheduler.Starting)),
				":before": number(int64(r.Attempt - 1)), ":attempt": number(int64(r.Attempt)),
				":refusals": number(int64(r.Refusals)),
			},
		}})
	}
	if err := s.transact(ctx, items); err != nil {
		return conflictOr(err, "begin %d runs of set %s", len(runs), name)
	}
	return nil
}

// sameCancel is the condition that nobody has cancelled a run since it was read, with the value that
// it needs: who writes what became of it must not write over that.
func sameCancel(r scheduler.Run, values attributes) string {
	if r.CancelledBy == "" {
		return "attribute_not_exists(#cancelled)"
	}
	values[":cancelled"] = text(r.CancelledBy)
	return "(attribute_not_exists(#cancelled) OR #cancelled = :cancelled)"
}

// sameRefusals is the condition that a run was not refused since it was read. Versions
// that did not count refusals wrote no number.
func sameRefusals(r scheduler.Run) string {
	if r.Refusals == 0 {
		return "(attribute_not_exists(#refusals) OR #refusals = :refusals)"
	}
	return "#refusals = :refusals"
}

// Advance writes runs if each is stored with the same attempt and in one of the
// states from. The event of one that has finished goes with it.
func (s *Store) Advance(ctx context.Context, runs []scheduler.Run, from ...scheduler.RunState) error {
	states := attributes{}
	var names []string
	for i, state := range from {
		name := fmt.Sprintf(":from%d", i)
		names, states[name] = append(names, name), text(string(state))
	}
	var writes []types.TransactWriteItem
	for _, r := range runs {
		item, err := runItem(r)
		if err != nil {
			return err
		}
		values := attributes{":attempt": number(int64(r.Attempt))}
		maps.Copy(values, states)
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.table, Item: item,
			ConditionExpression: aws.String("#attempt = :attempt AND #progress IN (" + strings.Join(names, ", ") +
				") AND " + sameCancel(r, values)),
			ExpressionAttributeNames: map[string]string{
				"#attempt": attrAttempt, "#progress": attrProgress, "#cancelled": attrCancelled,
			},
			ExpressionAttributeValues: values,
		}})
		if r.State == scheduler.Finished && r.SourceApart {
			writes = append(writes, types.TransactWriteItem{
				Delete: &types.Delete{TableName: &s.table, Key: key(r.Set, eventPrefix+string(r.ID))},
			})
		}
	}
	var err error
	if len(writes) == 1 {
		p := writes[0].Put
		_, err = s.api.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
			ExpressionAttributeNames:  p.ExpressionAttributeNames,
			ExpressionAttributeValues: p.ExpressionAttributeValues,
		})
	} else {
		err = s.transact(ctx, writes)
	}
	if err != nil {
		return conflictOr(err, "advance %d runs, the first %s", len(runs), runs[0].ID)
	}
	return nil
}

// Run returns a run, and false if there is none.
func (s *Store) Run(ctx context.Context, set scheduler.SetName, id scheduler.RunID) (scheduler.Run, bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(set, runPrefix+string(id)), ConsistentRead: aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return scheduler.Run{}, false, awserr.Mark(err, "load run %s", id)
	}
	var r scheduler.Run
	if err := dataOf(out.Item, &r); err != nil {
		return r, false, fmt.Errorf("load run %s: %w", id, err)
	}
	return r, true, nil
}

// Hold stores a hold, or renews the owner's, unless the set is about to be
// deleted: then it returns ErrConflict. Like the admission of a run it is judged
// together with the phase, so that a deletion never misses it.
func (s *Store) Hold(ctx context.Context, set scheduler.SetName, l scheduler.Hold) error {
	data, err := encode(l)
	if err != nil {
		return fmt.Errorf("hold set %s for %s: %w", set, l.Owner, err)
	}
	item := key(set, holdPrefix+l.Owner)
	item[attrLive] = text(holdPrefix + l.Owner)
	item[attrData] = data
	item[attrExpires] = number(l.Expires.Unix())
	err = s.transact(ctx, []types.TransactWriteItem{
		{Put: &types.Put{TableName: &s.table, Item: item}},
		{ConditionCheck: &types.ConditionCheck{
			TableName: &s.table, Key: key(set, setItem),
			ConditionExpression: aws.String("attribute_not_exists(#phase) OR NOT #phase IN (:draining, " +
				":deleting)"),
			ExpressionAttributeNames: map[string]string{"#phase": attrPhase},
			ExpressionAttributeValues: attributes{
				":draining": text(string(scheduler.Draining)), ":deleting": text(string(scheduler.Deleting)),
			},
		}},
	})
	if err != nil {
		return conflictOr(err, "hold set %s for %s", set, l.Owner)
	}
	return nil
}

// Release removes an owner's hold. One that is gone is success.
func (s *Store) Release(ctx context.Context, set scheduler.SetName, owner string) error {
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: key(set, holdPrefix+owner)})
	return awserr.Mark(err, "release set %s for %s", set, owner)
}

// Note reads what SaveNote has written for a set into v, and reports whether there
// was anything.
func (s *Store) Note(ctx context.Context, set scheduler.SetName, v any) (bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(set, noteItem), ConsistentRead: aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return false, awserr.Mark(err, "load the note of set %s", set)
	}
	return true, dataOf(out.Item, v)
}

// SaveNote writes a value next to a set: what an installation that only observes
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
	err = s.query(ctx, set, nil, "begins_with(#key, :run)", attrItem, map[string]string{":run": runPrefix},
		func(item attributes) error {
			return collect(item, &runs)
		})
	return runs, awserr.Mark(err, "list the runs of set %s", set)
}

// Forget removes the record of a run that was sent to the dead-letter queue, so
// that its event counts as new. Any other run stays, with ErrConflict.
func (s *Store) Forget(ctx context.Context, r scheduler.Run) error {
	if r.Outcome != scheduler.DeadLettered {
		return fmt.Errorf("forget run %s: %w: it is %s %s", r.ID, reconcile.ErrConflict, r.State, r.Outcome)
	}
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: key(r.Set, runPrefix+string(r.ID)),
		ConditionExpression: aws.String("attribute_not_exists(#item) OR #progress = :finished AND #attempt = " +
			":attempt"),
		ExpressionAttributeNames: map[string]string{
			"#item": attrItem, "#progress": attrProgress, "#attempt": attrAttempt,
		},
		ExpressionAttributeValues: attributes{
			":finished": text(string(scheduler.Finished)), ":attempt": number(int64(r.Attempt)),
		},
	})
	if err != nil {
		return conflictOr(err, "forget run %s", r.ID)
	}
	return nil
}
