/* Drives the phone engine from C, as a wallet would: one thread at the reader, another that shows the state. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "phone.h"

static struct { char key[80]; uint8_t value[32768]; int32_t length; } records[16];
static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;
static int writes;

static int32_t put(const char *key, const uint8_t *value, int32_t length) {
	pthread_mutex_lock(&store_lock);
	int at = -1;
	for (int i = 0; i < 16; i++) {
		if (strcmp(records[i].key, key) == 0) { at = i; break; }
		if (at < 0 && records[i].key[0] == 0) at = i;
	}
	int32_t result = -1;
	if (at >= 0 && length <= (int32_t)sizeof records[at].value) {
		snprintf(records[at].key, sizeof records[at].key, "%s", key);
		if (length > 0) memcpy(records[at].value, value, length);
		records[at].length = length;
		writes++;
		result = 0;
	}
	pthread_mutex_unlock(&store_lock);
	return result;
}

static int32_t get(const char *key, uint8_t *value, int32_t room) {
	int32_t result = -1;
	pthread_mutex_lock(&store_lock);
	for (int i = 0; i < 16; i++)
		if (records[i].length > 0 && strcmp(records[i].key, key) == 0 && records[i].length <= room) {
			memcpy(value, records[i].value, records[i].length);
			result = records[i].length;
		}
	pthread_mutex_unlock(&store_lock);
	return result;
}

static volatile int stop;

static void *watch(void *unused) {
	char text[4096];
	do { // once at least, also when the others are done before this thread runs
		if (phone_status(text, sizeof text) <= 0 || strstr(text, "tok-c") == NULL) return "status cannot be read";
	} while (!stop);
	(void)unused;
	return NULL;
}

static int fail(const char *what, int number) {
	printf("FAIL %s (%d)\n", what, number);
	return 1;
}

int main(void) {
	static uint8_t ppse[] = {0x00, 0xA4, 0x04, 0x00, 0x0E, '2', 'P', 'A', 'Y', '.', 'S', 'Y', 'S', '.', 'D', 'D', 'F', '0', '1', 0x00};
	static uint8_t aid[] = {0x00, 0xA4, 0x04, 0x00, 0x08, 0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x01, 0x00};
	static uint8_t gpo[] = {0x80, 0xA8, 0x00, 0x00, 35, 0x83, 33, /* 9F66 */ 0x36, 0x80, 0, 0, /* 9F02 */ 0, 0, 0, 0, 0x12, 0x50,
		/* 9F03 */ 0, 0, 0, 0, 0, 0, /* 9F1A */ 0x01, 0x56, /* 95 */ 0, 0, 0, 0, 0, /* 5F2A */ 0x01, 0x56, /* 9A */ 0x26, 0x11, 0x22,
		/* 9C */ 0, /* 9F37 */ 1, 2, 3, 4, 0x00};
	uint8_t out[512];
	int64_t clock = 1000000;

	if (phone_start(put, get) != 0) return fail("start", 0);
	if (phone_arm(2) != -2) return fail("armed without keys", 0);
	if (phone_replenish() != 0) return fail("replenish", 0);
	if (phone_process(ppse, sizeof ppse, out, 10, clock) != -1) return fail("short buffer", 0);
	if (phone_process(NULL, 0, out, sizeof out, clock) != 2 || out[0] != 0x67) return fail("no command", out[0]);

	pthread_t watcher;
	pthread_create(&watcher, NULL, watch, NULL);
	int taps = 0;
	for (; taps < 25; taps++) {
		int32_t n = phone_process(ppse, sizeof ppse, out, sizeof out, clock);
		if (n != 2 || out[0] != 0x69 || out[1] != 0x85) return fail("answers without being armed", n);
		phone_deactivated(0);
		int32_t code = phone_arm(2);
		if (code == -2) {
			if (phone_replenish() != 0) return fail("refresh", taps);
			code = phone_arm(2);
		}
		if (code != 0) return fail("arm", code);
		gpo[sizeof gpo - 2] = (uint8_t)taps;
		n = phone_process(ppse, sizeof ppse, out, sizeof out, clock += 1000);
		if (n < 20 || out[n - 2] != 0x90) return fail("directory", n);
		n = phone_process(aid, sizeof aid, out, sizeof out, clock += 1000);
		if (n < 20 || out[n - 2] != 0x90) return fail("application", n);
		n = phone_process(gpo, sizeof gpo, out, sizeof out, clock += 1000);
		if (n < 40 || out[n - 2] != 0x90) return fail("processing options", n);
		int32_t verdict = cloud_check(gpo, sizeof gpo, out, n);
		if (verdict != 0) return fail("the cloud refuses", verdict);
		phone_deactivated(0);
	}
	stop = 1;
	void *wrong = NULL;
	pthread_join(watcher, &wrong);
	if (wrong != NULL) return fail(wrong, 0);
	printf("ok: %d taps, %d writes\n", taps, writes);
	return 0;
}
