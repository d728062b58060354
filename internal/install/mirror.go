package install

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/config"
)

// baseMirror returns what the base stack holds for the mirror, nil without one. The
// sets of c are those that live.
func baseMirror(c *config.Config) (*cfn.BaseMirror, error) {
	m := c.Mirror
	if m == nil {
		return nil, nil
	}
	settings, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write down the mirror's repositories: %w", err)
	}
	out := &cfn.BaseMirror{
		Set: string(c.Jobs[config.MirrorJob].Set), Cluster: m.Cluster, Image: m.Image, Architecture: m.Architecture, CPU: m.CPU, Memory: m.Memory, Disk: m.Disk, Settings: string(settings),
		Networks: m.SourceNetworks, Ports: m.ServerPorts(), StaleHours: int(time.Duration(m.StaleAfter).Hours()), Receives: m.Receives(),
	}
	if m.Looks() {
		out.CheckMinutes = int(time.Duration(m.CheckEvery).Minutes())
	}
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		out.Repositories = append(out.Repositories, baseRepository(name, m.Repositories[name]))
	}
	return out, nil
}

func baseRepository(name string, r *config.MirrorRepository) cfn.BaseMirrorRepository {
	out := cfn.BaseMirrorRepository{Name: name, CodeCommit: r.Target.CodeCommit, Creates: r.Target.Create}
	if name, ok := config.CodeCommitName(r.Target.URL); ok {
		out.CodeCommit = name
	}
	out.PullsFrom, _ = config.CodeCommitName(r.Source.URL)
	for _, arn := range []string{r.Source.Secret, r.Target.Secret} {
		if arn != "" {
			out.Secrets = append(out.Secrets, arn)
		}
	}
	if r.Webhook != nil {
		out.WebhookSecrets = append(out.WebhookSecrets, r.Webhook.Secret)
	}
	if r.Visible && r.Source.Secret != "" {
		out.WebhookSecrets = append(out.WebhookSecrets, r.Source.Secret)
	}
	if bucket, key, ok := config.S3Place(r.Source.Bundle); ok {
		out.Reads = append(out.Reads, bucket+"/"+key)
	}
	for _, place := range []string{r.Target.Archive, r.LFS} {
		if bucket, prefix, ok := config.S3Place(place); ok {
			out.Writes = append(out.Writes, bucket+"/"+prefix)
		}
	}
	return out
}
