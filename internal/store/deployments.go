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
	if version == 0 {
		put.ConditionExpression = aws.String("attribute_not_exists(#item)")
		put.ExpressionAttributeNames = map[string]string{"#item": attrItem}
	} else {
		put.ConditionExpression = aws.String("#version = :version")
		put.ExpressionAttributeNames = map[string]string{"#version": attrVersion}
		put.ExpressionAttributeValues = map[string]types.AttributeValue{":version": number(version)}
	}
	_, err = s.api.PutItem(ctx, put)
	return conflictOr(err, "save deployment %s", id)
}

// Deployment reads the record of a deployment into record, and reports whether there is
// one.
func (s *Store) Deployment(ctx context.Context, set scheduler.SetName, id string, record any) (bool, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(set, deploymentPrefix+id), ConsistentRead: aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return false, awserr.Mark(err, "load deployment %s", id)
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
