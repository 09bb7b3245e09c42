package app

import (
	"tapnet/card"
	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
)

// chipVault seals the secrets of a chip's file, the PIN above all, with a key of its issuer's security module; what is sealed for one card
// cannot be read as another's.
type chipVault struct {
	hsm     *hsm.HSM
	context string
}

var _ card.Vault = chipVault{}

// Seal implements card.Vault.
func (v chipVault) Seal(plain []byte) ([]byte, error) {
	return v.hsm.SealData(keyPANSeal, v.context, plain)
}

// Open implements card.Vault.
func (v chipVault) Open(sealed []byte) ([]byte, error) {
	return v.hsm.OpenData(keyPANSeal, v.context, sealed)
}

// chipMemory is the file of a card's chip.
func (n *Network) chipMemory(path string, personal *personalization.Card) *chipFile {
	vault := chipVault{n.vaults[personal.Spec.Issuer], "chip of card " + personal.Spec.Name}
	return &chipFile{path: path, initial: personal.Image.State, sealed: card.NewSealed(vault)}
}
