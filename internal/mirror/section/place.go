package section

// The variables of the mirror's container.
const (
	SettingsVariable = "DRAWBRIDGE_MIRROR"
	StateVariable    = "DRAWBRIDGE_MIRROR_STATE"
	NameVariable     = "DRAWBRIDGE_NAME"
)

// The folders of the mirror's bucket: what the mirror keeps, what bundles are put
// into, and what the webhook function remembers for a day.
const (
	StateFolder = "state"
	Inbox       = "inbox"
	SeenFolder  = "seen"
)

// Bucket returns the name of an installation's bucket for the mirror.
func Bucket(installation, account, region string) string {
	return installation + "-mirror-" + account + "-" + region
}
