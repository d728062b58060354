package cfn

// Addition is what a further product adds to the base stack.
type Addition struct {
	// Resources are further resources by logical id, Outputs further outputs by name.
	Resources, Outputs Object
	// Roles are further roles, Statements what they may do.
	Roles      []RoleSpec
	Statements []Statement
	Functions  []Function
	// TaskGroup is the security group of its tasks; nil without tasks.
	TaskGroup *TaskGroup
}

// TaskRoles are the ARNs of the roles of its tasks, with pseudo parameters.
func (a Addition) TaskRoles() []string {
	var out []string
	for _, r := range a.Roles {
		if r.Service == "ecs-tasks" {
			out = append(out, RoleARN(r.Name))
		}
	}
	return out
}

// RoleSpec is a role of the base stack.
type RoleSpec struct {
	Role Role
	// ID is its logical id, Name its name in IAM, Service who assumes it: lambda,
	// cloudformation, scheduler, ecs or ecs-tasks.
	ID, Name, Service string
}

// Function is a Lambda function of the base stack.
type Function struct {
	// Code names its code: launcher, reaper, or what an addition calls it.
	Code string
	// Name is its name in Lambda, ID its logical id, Role that of its role. Parameter holds
	// the key of its zip.
	Name, ID, Role, Parameter string
	// What says what goes in and out.
	What string
	// Seconds is its time-out, Reserved what it reserves of the account's concurrency; 0
	// reserves nothing.
	Seconds, Reserved int
	// Subnets and Groups are where it runs in a VPC, the groups with references; empty for one
	// that does not.
	Subnets []string
	Groups  []any
}

// TaskGroup is the security group of an addition's tasks, which the set's endpoints let in.
type TaskGroup struct {
	// Job is the job that the tasks belong to, Set the set that it lives in.
	Job, Set string
	// ID is the group's logical id, Who says whose it is.
	ID, Who string
}

// Functions returns the functions of the base stack.
func (b Base) Functions() []Function {
	n := NamesOf(b.Name, b.Region)
	out := []Function{
		{
			Code: "launcher", Name: n.Launcher, ID: "Launcher", Role: "LauncherRole", Parameter: ParameterLauncherCode,
			What: "job events in, endpoints up, Fargate tasks started", Seconds: FunctionSeconds,
			Reserved: b.ReservedConcurrency,
		},
		{
			Code: "reaper", Name: n.Reaper, ID: "Reaper", Role: "ReaperRole", Parameter: ParameterReaperCode,
			What: "tasks followed to their end, idle endpoints taken down", Seconds: FunctionSeconds,
			Reserved: b.ReservedConcurrency,
		},
	}
	for _, a := range b.Additions {
		out = append(out, a.Functions...)
	}
	return out
}
