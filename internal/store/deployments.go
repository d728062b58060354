package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// deploymentPrefix begins the sort key of a deployment's record. In the index it stands
// before everything that holds a set: the hold is an item of its own.
const deploymentPrefix = "deployment#"

// keepDeployment is how long the record of a deployment is kept after its last change.
const keepDeployment = 30 * 24 * time.Hour

// SaveDeployment writes the record of a deployment of a set, if the stored version is still
// version, as the next one; version 0 is a new record. live says that it has not ended. It
// returns ErrConflict otherwise.
func (s *Store) SaveDeployment(ctx context.Context, set scheduler.SetName, id string, version int64, live bool,
	record any, now time.Time) error {
	data, err := encode(record)
	if err != nil {
		return fmt.Errorf("save deployment %s: %w", id, err)
	}
	item := key(set, deploymentPrefix+id)
	item[attrData], item[attrVersion] = data, number(version+1)
	item[attrExpires] = number(now.Add(keepDeployment).Unix())
	if live {
		item[attrLive] = text(deploymentPrefix + id)
	}
	put := &dynamodb.PutItemInput{TableName: &s.table, Item: item}
	follow(put, version)
	_, err = s.api.PutItem(ctx, put)
	return conflictOr(err, "save deployment %s", id)
}

// follow has a put take effect only if the stored version is still version; 0 is that of an
// item that is not there.
func follow(put *dynamodb.PutItemInput, version int64) {
	if version == 0 {
		put.ConditionExpression = aws.String("attribute_not_exists(#item)")
		put.ExpressionAttributeNames = map[string]string{"#item": attrItem}
		return
	}
	put.ConditionExpression = aws.String("#version = :version")
	put.ExpressionAttributeNames = map[string]string{"#version": attrVersion}
	put.ExpressionAttributeValues = map[string]types.AttributeValue{":version": number(version)}
}

// Deployment reads the record of a deployment into record, and reports whether there is
// one.
func (s *Store) Deployment(ctx context.Context, set scheduler.SetName, id string, record any) (bool, error) {
	return s.record(ctx, set, deploymentPrefix+id, record)
}

// record reads the data of an item into record, and reports whether there is one.
func (s *Store) record(ctx context.Context, set scheduler.SetName, item string, record any) (bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(set, item), ConsistentRead: aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return false, awserr.Mark(err, "load %s of set %s", item, set)
	}
	return true, dataOf(out.Item, record)
}

// Deployments returns the records of a set's deployments that have not ended, as JSON, in
// order of id.
func (s *Store) Deployments(ctx context.Context, set scheduler.SetName) ([]json.RawMessage, error) {
	return s.deployments(ctx, set, aws.String(attrLive), attrLive)
}

// AllDeployments returns those that have ended too, as long as they are kept.
func (s *Store) AllDeployments(ctx context.Context, set scheduler.SetName) ([]json.RawMessage, error) {
	return s.deployments(ctx, set, nil, attrItem)
}

func (s *Store) deployments(ctx context.Context, set scheduler.SetName, index *string,
	sort string) (out []json.RawMessage, err error) {
	err = s.query(ctx, set, index, "begins_with(#key, :deployment)", sort,
		map[string]string{":deployment": deploymentPrefix}, func(item attributes) error {
			return collect(item, &out)
		})
	return out, awserr.Mark(err, "list the deployments of set %s", set)
}

// trafficPrefix begins the sort key of what is known of the listeners of a section.
const trafficPrefix = "traffic#"

// SaveTraffic writes what is known of the listeners of a section, if the stored version is still
// version; 0 if nothing was known. It returns ErrConflict otherwise. It is kept for 30 days.
func (s *Store) SaveTraffic(ctx context.Context, set scheduler.SetName, name string, version int64, record any,
	now time.Time) error {
	data, err := encode(record)
	if err != nil {
		return fmt.Errorf("save what is known of the listeners of %s: %w", name, err)
	}
	item := key(set, trafficPrefix+name)
	item[attrData], item[attrVersion] = data, number(version+1)
	item[attrExpires] = number(now.Add(keepDeployment).Unix())
	put := &dynamodb.PutItemInput{TableName: &s.table, Item: item}
	follow(put, version)
	_, err = s.api.PutItem(ctx, put)
	return conflictOr(err, "save what is known of the listeners of %s", name)
}

// Traffic reads what is known of the listeners of a section into record, and reports whether
// anything is.
func (s *Store) Traffic(ctx context.Context, set scheduler.SetName, name string, record any) (bool, error) {
	return s.record(ctx, set, trafficPrefix+name, record)
}
