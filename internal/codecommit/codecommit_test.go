package codecommit

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The vector is the one in the tests of git-remote-codecommit.
var (
	vectorTime     = time.Date(2017, 12, 24, 11, 53, 20, 0, time.UTC)
	vectorHost     = "git-codecommit.us-west-2.amazonaws.com"
	vectorPath     = "/v1/repos/test_repo"
	vectorPassword = "20171224T115320Zb6df2d758a8023b2f000a546417007b65494f3ce8ad0300fd45fcfa173f1959a"
)

func TestPassword(t *testing.T) {
	long := aws.Credentials{AccessKeyID: "access", SecretAccessKey: "secret"}
	for _, tt := range []struct {
		name, host string
		c          aws.Credentials
		now        time.Time
	}{
		{"the vector", vectorHost, long, vectorTime},
		{"a session token changes the user name alone", vectorHost, aws.Credentials{AccessKeyID: "access", SecretAccessKey: "secret", SessionToken: "token"}, vectorTime},
		{"a port does not count", vectorHost + ":443", long, vectorTime},
		{"the time is UTC", vectorHost, long, vectorTime.In(time.FixedZone("", 9*3600))},
	} {
		if got := Password(tt.c, "us-west-2", tt.host, vectorPath, tt.now); got != vectorPassword {
			t.Errorf("%s: %s, want %s", tt.name, got, vectorPassword)
		}
	}
	if Password(long, "us-east-1", vectorHost, vectorPath, vectorTime) == vectorPassword {
		t.Error("another Region gives the same password")
	}
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name, secret, path, password string
		now                          time.Time
		want                         string
	}{
		{"right", "secret", vectorPath, vectorPassword, vectorTime, ""},
		{"15 minutes old", "secret", vectorPath, vectorPassword, vectorTime.Add(15 * time.Minute), ""},
		{"a second older", "secret", vectorPath, vectorPassword, vectorTime.Add(15*time.Minute + time.Second), "expired"},
		{"from too far ahead", "secret", vectorPath, vectorPassword, vectorTime.Add(-15*time.Minute - time.Second), "expired"},
		{"another secret", "secre", vectorPath, vectorPassword, vectorTime, "does not match"},
		{"another repository", "secret", vectorPath + "2", vectorPassword, vectorTime, "does not match"},
		{"no time", "secret", vectorPath, "x", vectorTime, "no time"},
		{"empty", "secret", vectorPath, "", vectorTime, "no time"},
	} {
		err := Verify(tt.secret, "us-west-2", vectorHost, tt.path, tt.password, tt.now)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRegion(t *testing.T) {
	for host, want := range map[string]string{
		"git-codecommit.us-west-2.amazonaws.com":                                "us-west-2",
		"git-codecommit.us-west-2.amazonaws.com:443":                            "us-west-2",
		"git-codecommit-fips.us-east-1.amazonaws.com":                           "us-east-1",
		"git-codecommit.cn-north-1.amazonaws.com.cn":                            "cn-north-1",
		"vpce-0a1b-2c3d.git-codecommit.eu-central-1.vpce.amazonaws.com":         "eu-central-1",
		"vpce-0a1b-2c3d-us-east-1a.git-codecommit.us-east-1.vpce.amazonaws.com": "us-east-1",
		"vpce-0a1b-2c3d.git-codecommit-fips.us-gov-west-1.vpce.amazonaws.com":   "us-gov-west-1",
		"git-codecommit.us-west-2.amazonaws.com.example.com":                    "",
		"example.com": "", "git-codecommit.amazonaws.com": "", "xgit-codecommit.us-west-2.amazonaws.com": "",
		"git-codecommit.us-west-2.amazonaws.comx": "", "evil.git-codecommit.us-west-2.amazonaws.com": "",
	} {
		got, err := Region(host)
		if got != want || (want == "") != errors.Is(err, ErrNotCodeCommit) {
			t.Errorf("Region(%s) = %q, %v, want %q", host, got, err, want)
		}
	}
}

func TestURL(t *testing.T) {
	for _, tt := range [][3]string{
		{"", "us-east-1", "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/app"},
		{"", "cn-north-1", "https://git-codecommit.cn-north-1.amazonaws.com.cn/v1/repos/app"},
		{"http://127.0.0.1:4577/", "us-east-1", "http://127.0.0.1:4577/v1/repos/app"},
	} {
		if got := URL(tt[0], tt[1], "app"); got != tt[2] {
			t.Errorf("URL(%q, %q) = %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestWithCredentialsEncodesTheWholeUserName(t *testing.T) {
	c := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: "a/b+c=%"}
	got, err := WithCredentials("https://"+vectorHost+vectorPath, c, "us-west-2", vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://ASIA%25a%2Fb+c=%25:"; !strings.HasPrefix(got, want) {
		t.Errorf("%s does not begin with %s", got, want)
	}
	u, err := url.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := u.User.Password(); u.User.Username() != Username(c) || p != vectorPassword {
		t.Errorf("reads back as %q with %q", u.User.Username(), p)
	}
}
