package kernel_test

import (
	"testing"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/kernel"
	"tapnet/pan"
	"tapnet/tlv"
)

// sm2 gives card and terminal a chain of SM2 keys [REF 4.6].
func sm2(s *scene) {
	private := func(last byte) oda.PrivateKey {
		d := make([]byte, 32)
		d[0], d[31] = 0x11, last
		k, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
		if err != nil {
			s.Fatal(err)
		}
		return k
	}
	ca := private(1)
	s.signer, s.key = private(2), private(3)
	keys, err := oda.NewKeys(oda.NewCAKey(emv.RIDUnionPay, 0xF2, ca.Public(), "20301231", "test"))
	if err != nil {
		s.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	certificate, _, err := oda.MakeIssuerCertificate(ca, oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Public: s.signer.Public()})
	if err != nil {
		s.Fatal(err)
	}
	s.cfg.CAKeys, s.cfg.SM = keys, true
	s.issuer.Set(emv.TagCAIndex, []byte{0xF2})
	s.issuer.Set(emv.TagIssuerCertificate, certificate)
	s.issuer.Delete(emv.TagIssuerRemainder)
	s.issuer.Delete(emv.TagIssuerExponent)
	s.sel.FCI = fci(s, tlv.Append(nil, emv.TagPDOL, unhex(s, pdol+"DF6901")))
}

// TestSM pays offline with a chain of SM2 keys, with and without a cache, and not when the card signs with another key.
func TestSM(t *testing.T) {
	for _, cache := range []kernel.KeyCache{nil, new(kernel.MemoryCache)} {
		for range 2 {
			s := newScene(t)
			sm2(s)
			s.cfg.Cache = cache
			if o := s.run(); o.Kind != kernel.Approved || o.ODA.Status != kernel.ODAPassed || o.ODA.Version != 1 {
				t.Errorf("%v %v %v", o.Kind, o.Reason, o.Detail.EN)
			}
		}
	}
	s := newScene(t)
	sm2(s)
	s.late = func(s *scene) {
		b := append([]byte(nil), s.gpo.Get(emv.TagSDAD)...)
		b[len(b)-1] ^= 1
		s.gpo.Set(emv.TagSDAD, b)
	}
	if o := s.run(); o.Kind != kernel.Declined || o.Reason != kernel.ReasonODAFailed {
		t.Errorf("forged: %v %v", o.Kind, o.Reason)
	}
}

// TestSMKeyDoesNotExcuseAnExponent: what a chain of RSA needs stays needed.
func TestSMKeyDoesNotExcuseAnExponent(t *testing.T) {
	s := newScene(t)
	s.issuer.Delete(emv.TagIssuerExponent)
	if o := s.run(); o.Kind != kernel.Declined || o.ODA.Failure == nil || o.ODA.Failure.Check != oda.CheckMissing {
		t.Errorf("%v %v", o.Kind, o.ODA)
	}
}
