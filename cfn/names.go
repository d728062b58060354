package cfn

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Names are the names of what an installation owns.
type Names struct {
	// Stack is the base stack, which holds all the others.
	Stack                                                       string
	Table, Events, DeadLetters, Launcher, Reaper, ScheduleGroup string
	// StackRole is CloudFormation's service role, TimerRole the one by which
	// Scheduler invokes the reaper, LauncherRole and ReaperRole the functions'.
	StackRole, TimerRole, LauncherRole, ReaperRole string
	Dashboard                                      string
	// Hook is the function that follows deployments, where there is one.
	Hook string
}

// NamesOf returns the names for the installation called name. They do not hold
// the Region, except for those of IAM, which are the same in every Region: an
// account has one installation of a name a Region, so they carry the Region.
func NamesOf(name, region string) Names {
	return Names{
		Stack: name, Table: name, Events: name + "-events", DeadLetters: name + "-dead-letters",
		Launcher: name + "-launcher", Reaper: name + "-reaper", ScheduleGroup: name,
		StackRole: name + "-cloudformation-" + region, TimerRole: name + "-scheduler-" + region,
		LauncherRole: name + "-launcher-" + region, ReaperRole: name + "-reaper-" + region,
		Dashboard: name, Hook: name + "-hook",
	}
}

// Bucket returns the name of the bucket that holds an installation's code.
func Bucket(name, account, region string) string { return name + "-" + account + "-" + region }

// pascal turns a name such as "main-2" into Main2, for logical ids, which hold
// letters and digits alone.
func pascal(name string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(".-_", r) }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// IDPart returns a part of a logical id for a name of the configuration: another
// one for every name. A name that loses something on the way gets a digest of it.
func IDPart(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
		return pascal(name)
	}
	sum := sha256.Sum256([]byte(name))
	return pascal(name) + "X" + hex.EncodeToString(sum[:3])
}
