package deployments

import "testing"

func TestSharesAreTheSameInProportion(t *testing.T) {
	blue, green := "arn:aws:elasticloadbalancing:r:1:targetgroup/blue/1", "arn:aws:elasticloadbalancing:r:1:targetgroup/green/2"
	for _, tt := range []struct {
		a, b Shares
		want bool
	}{
		{Shares{{blue, 100}, {green, 0}}, Shares{{blue, 1}}, true},
		{Shares{{green, 0}, {blue, 100}}, Shares{{blue, 100}, {green, 0}}, true},
		{Shares{{blue, 50}, {green, 50}}, Shares{{blue, 1}, {green, 1}}, true},
		{Shares{{blue, 90}, {green, 10}}, Shares{{blue, 10}, {green, 90}}, false},
		{Shares{{blue, 100}}, Shares{{green, 100}}, false},
		{Shares{{blue, 100}}, Shares{{blue, 0}}, false},
		{Shares{{blue, 100}}, nil, false},
		{nil, nil, true},
	} {
		if got := tt.a.same(tt.b); got != tt.want {
			t.Errorf("%s and %s are the same: %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if got := tt.b.same(tt.a); got != tt.want {
			t.Errorf("%s and %s are the same: %v, want %v", tt.b, tt.a, got, tt.want)
		}
	}
	if s := (Shares{{blue, 90}, {green, 10}}).String(); s != "blue (90), green (10)" {
		t.Errorf("shares are written %q", s)
	}
	if s := (Shares{{"not an ARN", 1}}).String(); s != "not an ARN (1)" {
		t.Errorf("shares are written %q", s)
	}
}
