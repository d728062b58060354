package section

// The variables of the mirror's container.
const (
	SettingsVariable = "DRAWBRIDGE_MIRROR"
	StateVariable    = "DRAWBRIDGE_MIRROR_STATE"
	NameVariable     = "DRAWBRIDGE_NAME"
	// RepositoriesVariable names the repositories of a run, ReportedVariable when they were
	// reported: events set these two.
	RepositoriesVariable = "DRAWBRIDGE_MIRROR_REPOSITORIES"
	ReportedVariable     = "DRAWBRIDGE_MIRROR_REPORTED"
)

// The folders of the mirror's bucket: what the mirror keeps, what bundles are put
// into, and what the webhook function remembers for a day.
const (
	StateFolder = "state"
	Inbox       = "inbox"
	SeenFolder  = "seen"
)

// ImageRepository returns the name of the repository in ECR that an installation makes for
// the mirror's image.
func ImageRepository(installation string) string { return installation + "-mirror" }

// Bucket returns the name of an installation's bucket for the mirror.
func Bucket(installation, account, region string) string {
	return installation + "-mirror-" + account + "-" + region
}
