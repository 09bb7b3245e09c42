// Command shared is the phone engine as a C shared library, with a storage that C provides: what a binding does, without a phone. A test builds
// it and drives it from C.
package main

/*
#include <stdint.h>
#include <stdlib.h>

// A record store of the caller. get returns the length, or -1 when there is no such record.
typedef int32_t (*store_put)(const char *key, const uint8_t *value, int32_t length);
typedef int32_t (*store_get)(const char *key, uint8_t *value, int32_t room);

static inline int32_t call_put(store_put f, const char *key, const uint8_t *value, int32_t length) { return f(key, value, length); }
static inline int32_t call_get(store_get f, const char *key, uint8_t *value, int32_t room) { return f(key, value, room); }
*/
import "C"

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"

	"tapnet/emv"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
	"tapnet/tlv"
)

// store is the caller's.
type store struct {
	put C.store_put
	get C.store_get
}

func (s store) Put(key string, value []byte) error {
	name := C.CString(key)
	defer C.free(unsafe.Pointer(name))
	var first *C.uint8_t
	if len(value) > 0 {
		first = (*C.uint8_t)(unsafe.Pointer(&value[0]))
	}
	if C.call_put(s.put, name, first, C.int32_t(len(value))) != 0 {
		return errors.New("the caller's store refuses")
	}
	return nil
}

func (s store) Get(key string) ([]byte, bool, error) {
	name := C.CString(key)
	defer C.free(unsafe.Pointer(name))
	room := make([]byte, hce.MaxBufferBytes)
	n := C.call_get(s.get, name, (*C.uint8_t)(unsafe.Pointer(&room[0])), C.int32_t(len(room)))
	if n < 0 || int(n) > len(room) {
		return nil, false, nil
	}
	return room[:n], true, nil
}

var (
	engine  *hce.Engine
	cloud   *soft.Cloud
	number  pan.Number
	elapsed atomic.Int64
)

func now() time.Time {
	return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(time.Duration(elapsed.Load()))
}

//export phone_start
func phone_start(put C.store_put, get C.store_get) C.int32_t {
	if start(store{put, get}) != nil {
		return -1
	}
	return 0
}

func start(s store) (err error) {
	if cloud, err = soft.NewCloud(soft.CloudOptions{Random: rand.NewChaCha8([32]byte{1}), Now: now}); err != nil {
		return err
	}
	platform, err := soft.NewPlatform(soft.Options{Store: s, Random: rand.NewChaCha8([32]byte{2}), NowMs: func() int64 { return now().UnixMilli() },
		ElapsedNs: elapsed.Load, Network: cloud.Post})
	if err != nil {
		return err
	}
	if engine, err = hce.NewEngine(platform, `{"device": "device-c", "software_keys": true}`); err != nil {
		return err
	}
	sign, agree := platform.Keys()
	if err = cloud.Enrol("device-c", sign, agree); err != nil {
		return err
	}
	if number, err = pan.CompleteLuhn("62999812345678901"); err != nil {
		return err
	}
	expiry, err := pan.ParseExpiry("2911")
	if err != nil {
		return err
	}
	wrapped, err := cloud.Provision(soft.TokenOrder{Ref: "tok-c", Device: "device-c", Number: number, Expiry: expiry, Label: "TAPNET DEBIT"})
	if err != nil {
		return err
	}
	return engine.AddToken(wrapped)
}

//export phone_replenish
func phone_replenish() C.int32_t {
	if engine.Replenish() != nil {
		return -1
	}
	return 0
}

//export phone_arm
func phone_arm(cvm C.int32_t) C.int32_t { return C.int32_t(engine.Arm("", int32(cvm), 0)) }

//export phone_process
func phone_process(command *C.uint8_t, length C.int32_t, out *C.uint8_t, room C.int32_t, elapsedNs C.int64_t) C.int32_t {
	elapsed.Store(int64(elapsedNs))
	return C.int32_t(engine.ProcessInto(slice(command, length), slice(out, room), int64(elapsedNs)))
}

//export phone_deactivated
func phone_deactivated(reason C.int32_t) { engine.Deactivated(int32(reason)) }

//export phone_status
func phone_status(out *C.char, room C.int32_t) C.int32_t {
	text := engine.StatusJSON()
	if len(text) >= int(room) {
		return -1
	}
	to := slice((*C.uint8_t)(unsafe.Pointer(out)), room)
	to[copy(to, text)] = 0
	return C.int32_t(len(text))
}

// cloud_check is the cloud's verdict on a GET PROCESSING OPTIONS and its answer: 0 is good.
//
//export cloud_check
func cloud_check(command *C.uint8_t, length C.int32_t, answer *C.uint8_t, answered C.int32_t) C.int32_t {
	data, err := soft.PhonePDOL.Split(slice(command, length)[7 : length-1])
	if err != nil {
		return -1
	}
	value, ok := tlv.Find(slice(answer, answered-2), emv.TagResponse2)
	if !ok {
		return -2
	}
	card, err := emv.ParseData(value)
	if err != nil {
		return -3
	}
	for tag, value := range card.All() {
		data.Set(tag, value)
	}
	if verdict := cloud.Verify(number, data); !verdict.OK() {
		return -4
	}
	return 0
}

func slice(first *C.uint8_t, length C.int32_t) []byte {
	if first == nil || length <= 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(first)), int(length))
}

func main() { <-context.Background().Done() }
