package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

type replayCmd struct {
	awsFlags
	changeFlags
	Limit int `short:"n" help:"At most so many letters." default:"100"`
}

// Help is the longer text of --help; kong calls it.
func (replayCmd) Help() string {
	return "A letter whose event has become another run meanwhile is only shown.\n\nExit code 3: there are no dead " +
		"letters."
}

// Run shows the dead letters and puts them back.
func (c *replayCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	if c.Limit < 1 {
		return &usageError{hint.With(fmt.Errorf("--limit %d: no letters", c.Limit), "write 1 or more")}
	}
	letters, err := operate.ReceiveLetters(ctx, ss.clients.SQS, a, c.Limit)
	if err != nil {
		return err
	}
	defer func() {
		if err := operate.GiveLettersBack(context.WithoutCancel(ctx), ss.clients.SQS, a, letters); err != nil {
			ss.say("the letters are seen again in %s: %v", operate.LettersHidden, err)
		}
	}()
	if err := ss.print(letters, func(w io.Writer, style output.Style) error {
		t := output.NewRows(style, "AT", "RUN", "REASON")
		for _, l := range letters {
			text := l.Reason
			if l.Hint != "" {
				text += "; " + l.Hint
			}
			t.Add(l.At, string(l.Run), text)
		}
		if t.Len() == 0 {
			_, err := fmt.Fprintln(w, "no dead letters")
			return err
		}
		return t.Write(w)
	}); err != nil {
		return err
	}
	if len(letters) == 0 {
		return exitCode(exitNothing)
	}
	if c.DryRun {
		ss.say("Would put %s back into %s.", scheduler.Count(len(letters), "event"), a.Names.Events)
		return nil
	}
	if err := ss.confirm(ctx, c.changeFlags,
		fmt.Sprintf("Put %s back into %s?", scheduler.Count(len(letters), "event"), a.Names.Events)); err != nil {
		return err
	}
	total := len(letters)
	done := 0
	for len(letters) > 0 {
		ok, err := c.put(ctx, ss, a, letters[0])
		if err != nil {
			return err
		}
		if ok {
			done++
		}
		letters = letters[1:]
	}
	ss.say("%d of %s back in the queue.", done, scheduler.Count(total, "event is", "events are"))
	return nil
}

// put forgets the run that a letter ended, puts its event back, and removes the
// letter. If that is interrupted the letter is still there.
func (c *replayCmd) put(ctx context.Context, ss *session, a *app.App, l operate.Letter) (bool, error) {
	if l.Missing > 0 {
		ss.say("The event of %s, %d bytes, was not kept (keepEvents): whoever sent it has to send it again. Its "+
			"letter stays.", cmp.Or(string(l.Run), "a letter"), l.Missing)
		return false, nil
	}
	if l.Wake != "" { // nothing was asked for: the set is looked at once more
		if err := a.Wake(ctx, reconcile.Launcher, l.Wake, "drawbridge replay"); err != nil {
			return false, err
		}
		return true, operate.RemoveLetter(ctx, ss.clients.SQS, a, l)
	}
	if l.Run != "" {
		r, err := findRun(ctx, a, l.Run)
		if err == nil {
			err = a.Store.Forget(ctx, r)
		}
		if errors.Is(err, reconcile.ErrConflict) {
			ss.say("%s is %s again and stays as it is; its letter is removed.", l.Run, r.State)
			return false, operate.RemoveLetter(ctx, ss.clients.SQS, a, l)
		}
		if err != nil && !errors.Is(err, errNoRun) {
			return false, err
		}
	}
	if err := operate.PutBack(ctx, ss.clients.SQS, a, l); err != nil {
		return false, err
	}
	return true, operate.RemoveLetter(ctx, ss.clients.SQS, a, l)
}
