package cfn

// State sorts stack statuses by what they ask for.
type State string

// The states. Foreign is a stack of the right name that does not carry our
// owner tag, whatever its status.
const (
	Missing      State = "missing"
	Busy         State = "busy"
	Complete     State = "complete"
	RolledBack   State = "rolled-back" // an update failed; what was there before is there
	RollingBack  State = "rolling-back"
	Broken       State = "broken"
	Deleting     State = "deleting"
	DeleteFailed State = "delete-failed"
	Foreign      State = "foreign"
)

// states gives every stack status its answer.
//
// Source: "Stack status codes",
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
var states = map[string]State{
	"CREATE_IN_PROGRESS":                           Busy,
	"UPDATE_IN_PROGRESS":                           Busy,
	"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":          Busy,
	"UPDATE_ROLLBACK_IN_PROGRESS":                  Busy,
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Busy,
	"IMPORT_IN_PROGRESS":                           Busy,
	"IMPORT_ROLLBACK_IN_PROGRESS":                  Busy,

	"CREATE_COMPLETE":          Complete,
	"UPDATE_COMPLETE":          Complete,
	"IMPORT_COMPLETE":          Complete,
	"UPDATE_ROLLBACK_COMPLETE": RolledBack,
	"IMPORT_ROLLBACK_COMPLETE": Complete,

	"ROLLBACK_IN_PROGRESS": RollingBack,

	"CREATE_FAILED":          Broken, // only with rollback disabled
	"ROLLBACK_COMPLETE":      Broken, // only a deletion is allowed
	"UPDATE_FAILED":          Broken,
	"UPDATE_ROLLBACK_FAILED": Broken,
	"IMPORT_ROLLBACK_FAILED": Broken,
	"REVIEW_IN_PROGRESS":     Broken, // holds no resources

	"DELETE_IN_PROGRESS": Deleting,
	"DELETE_COMPLETE":    Missing,
	"DELETE_FAILED":      DeleteFailed,
	"ROLLBACK_FAILED":    DeleteFailed,
}

// StateOf returns the state of a stack with the given status. A status that is
// not known yet counts as busy: it is waited for, and nothing is done about it.
func StateOf(status string) State {
	if s, ok := states[status]; ok {
		return s
	}
	return Busy
}
