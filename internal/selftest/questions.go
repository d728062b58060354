package selftest

import "time"

// questions answers, as far as the evidence tells, what no document says.
func questions(e Evidence) []Question {
	between := func(from, to string) (time.Duration, bool) {
		a, ok := e.at(from)
		b, also := e.at(to)
		return b.Sub(a), ok && also
	}
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
	_, standard := e.at("standard: stack CREATE_COMPLETE")
	_, own := e.at("standard: endpoint has its own tags")
	ownAfter, _ := between("standard: endpoint pending", "standard: endpoint has its own tags")
	tags := ""
	switch {
	case own && ownAfter < every:
		tags = "the tags of the resource come with it"
	case own:
		tags = "the tags of the resource come " + ownAfter.Round(time.Second).String() + " after it, by a call of their own"
	}
	_, stack := e.at("standard: endpoint has the stack's tags")
	stackAfter, _ := between("standard: endpoint pending", "standard: endpoint has the stack's tags")
	ofStack := ""
	switch {
	case stack:
		ofStack = "yes, " + stackAfter.Round(time.Second).String() + " after it was first seen"
	case standard:
		ofStack = "no, not while it was there"
	}
	_, configured := e.at("standard: stack detailed CONFIGURATION_COMPLETE")
	detailed := ""
	switch {
	case configured:
		detailed = "yes"
	case standard:
		detailed = "no"
	}
	complete, okComplete := e.at("express: stack CREATE_COMPLETE")
	available, okAvailable := e.at("express: endpoint available")
	early, okEarly := e.at("express: stack DELETE_COMPLETE")
	gone, okGone := e.at("express: endpoint gone")
	settled, okSettled := between("run: every endpoint available", "run: task pull ends")
	lowered, okLowered := between("run: set deleting", "run: set absent")
	return []Question{
		q("Do an endpoint's own tags come with it?", again, tags),
		q("Do the tags of a stack reach its endpoints?", again, ofStack),
		q("Does AWS::EC2::VPCEndpoint report CONFIGURATION_COMPLETE?", again, detailed),
		q("Is a stack complete before its endpoint in express mode?", again, pick(okComplete && okAvailable, "complete "+available.Sub(complete).Round(time.Second).String()+" before the endpoint is available")),
		q("Is a stack gone before its endpoint in express mode?", again, pick(okEarly && okGone, "gone "+gone.Sub(early).Round(time.Second).String()+" before the endpoint is")),
		q("How long after available does a task's pull through the endpoints succeed?", "run the selftest again with its part run", pick(okSettled, "the first image was pulled "+settled.Round(time.Second).String()+" after the last endpoint was available, the settling time included")),
		q("How long does the deletion of a whole set take?", "run the selftest again with its part run", pick(okLowered, lowered.Round(time.Second).String())),
		q("Are paid hours those of the clock, or counted from creation?", "drawbridge selftest --parts billing, and two days later drawbridge calibrate", ""),
		q("Does metering stop at the call or once the endpoint is gone?", "drawbridge selftest --parts billing tells if its deletion lasts over the end of an hour; look at the bill by the hour", ""),
		q("Where do EC2 and CloudFormation begin to throttle?", "the functions' logs show throttled calls; a selftest makes too few", ""),
		q("Does a denied tag fail a creation whose role may create?", "it shows as a refusal above where the role lacks cloudformation:TagResource or ec2:CreateTags", ""),
	}
}
