package selftest

import "time"

// questions answers undocumented questions, as far as the evidence allows.
func questions(e Evidence) []Question {
	q := func(text, how, answer string) Question {
		if answer != "" {
			how = ""
		}
		return Question{text, answer, how}
	}
	pick := func(ok bool, yes string) string {
		if ok {
			return yes
		}
		return ""
	}
	const again = "run the selftest again with its part modes"
	complete, okComplete := e.at("express: stack CREATE_COMPLETE")
	available, okAvailable := e.at("express: endpoint available")
	early, okEarly := e.at("express: stack DELETE_COMPLETE")
	gone, okGone := e.at("express: endpoint gone")
	settled, okSettled := e.between("run: every endpoint available", "run: task pull ends")
	lowered, okLowered := e.between("run: set deleting", "run: set absent")
	return []Question{
		q("Do an endpoint's own tags come with it?", again, ownTags(e)),
		q("Do the tags of a stack reach its endpoints?", again, stackTags(e)),
		q("Does AWS::EC2::VPCEndpoint report CONFIGURATION_COMPLETE?", again, detailed(e)),
		q("Is a stack complete before its endpoint in express mode?", again,
			pick(okComplete && okAvailable,
				"complete "+available.Sub(complete).Round(time.Second).String()+" before the endpoint is available")),
		q("Is a stack gone before its endpoint in express mode?", again,
			pick(okEarly && okGone, "gone "+gone.Sub(early).Round(time.Second).String()+" before the endpoint is")),
		q("How long after available does a task's pull through the endpoints succeed?",
			"run the selftest again with its part run",
			pick(okSettled,
				"the first image was pulled "+settled.Round(time.Second).String()+
					" after the last endpoint was available, the settling time included")),
		q("How long does the deletion of a whole set take?", "run the selftest again with its part run",
			pick(okLowered, lowered.Round(time.Second).String())),
		q("Are paid hours those of the clock, or counted from creation?",
			"drawbridge selftest --parts billing, and two days later drawbridge calibrate", ""),
		q("Does metering stop at the call or once the endpoint is gone?",
			"drawbridge selftest --parts billing answers it if its deletion lasts past the end of an hour; check the "+
				"bill by the hour", ""),
		q("Where do EC2 and CloudFormation begin to throttle?",
			"the functions' logs show throttled calls; a selftest makes too few", ""),
		q("How long after a set is gone can its endpoints' names be used again?",
			"run job twice, the second time as soon as drawbridge status says absent: a creation that failed for it "+
				"shows in drawbridge why", ""),
		q("What does RunTask answer at the quota of vCPUs?",
			"an event more than the quota lets run shows it in drawbridge status", ""),
		q("How late does EventBridge Scheduler delete a timer that has fired?",
			"aws scheduler list-schedules, some minutes after a set has gone", ""),
		q("Do endpoints in subnets with IPv6 blocks behave differently?",
			"run the selftest with a set whose subnets have them; endpoints are created for IPv4", ""),
		q("Does a denied tag fail the creation if the role may create endpoints?",
			"it shows as a refusal above where the role lacks cloudformation:TagResource or ec2:CreateTags", ""),
	}
}

// between returns how long after one moment another came; false if either did not.
func (e Evidence) between(from, to string) (time.Duration, bool) {
	a, ok := e.at(from)
	b, also := e.at(to)
	return b.Sub(a), ok && also
}

// ownTags describes when the tags of the resource reached the endpoint; "" if unknown.
func ownTags(e Evidence) string {
	after, ok := e.between("standard: endpoint pending", "standard: endpoint has its own tags")
	_, own := e.at("standard: endpoint has its own tags")
	switch {
	case !own:
		return ""
	case !ok || after < every:
		return "the tags of the resource come with it"
	}
	return "the tags of the resource come " + after.Round(time.Second).String() + " after it, by a separate call"
}

// stackTags describes when those of its stack did.
func stackTags(e Evidence) string {
	after, ok := e.between("standard: endpoint pending", "standard: endpoint has the stack's tags")
	if ok {
		return "yes, " + after.Round(time.Second).String() + " after it was first seen"
	}
	if _, complete := e.at("standard: stack CREATE_COMPLETE"); complete {
		return "no, not while it was there"
	}
	return ""
}

// detailed reports whether the stack reported that its configuration was
// complete.
func detailed(e Evidence) string {
	if _, configured := e.at("standard: stack detailed CONFIGURATION_COMPLETE"); configured {
		return "yes"
	}
	if _, complete := e.at("standard: stack CREATE_COMPLETE"); complete {
		return "no"
	}
	return ""
}
