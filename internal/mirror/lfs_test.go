package mirror

import "testing"

func TestAddressesOfTheMachineItselfAreNotReached(t *testing.T) {
	for _, tt := range []struct {
		address string
		reached bool
	}{
		{"10.0.0.7:443", true}, {"192.0.2.7:443", true}, {"[2001:db8::7]:443", true}, {"127.0.0.1:8443", true},
		{"169.254.169.254:80", false}, {"169.254.170.2:80", false}, {"[fe80::1]:443", false}, {"[::ffff:169.254.170.2]:80", false}, {"[fd00:ec2::254]:80", false}, {"[fd00:ec2::23]:80", false}, {"0.0.0.0:80", false}, {"224.0.0.1:80", false},
	} {
		if err := outside("tcp", tt.address, nil); (err == nil) != tt.reached {
			t.Errorf("%s: %v, want it reached: %v", tt.address, err, tt.reached)
		}
	}
}
