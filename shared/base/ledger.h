#ifndef EASEL_BASE_LEDGER_H
#define EASEL_BASE_LEDGER_H
/*
 * ledger - where a request's time went
 *
 * One per request; the members become the server-timing header.  Used by the request's own thread.
 */
#include <stdint.h>

enum ledger_item {
	LEDGER_AUTH,
	LEDGER_RECV, /* reading the request */
	LEDGER_WAIT, /* for a slot or a turn */
	LEDGER_DNS,
	LEDGER_CONNECT,
	LEDGER_TLS,
	LEDGER_PROVIDER, /* from the request sent to the last byte of the answer */
	LEDGER_FETCH,    /* of a result that came as a URL */
	LEDGER_STORE,    /* writing and converting pictures */
	LEDGER_OTHER,    /* what nobody booked: so that the items are the whole */
	LEDGER__MAX
};

struct ledger {
	int64_t us[LEDGER__MAX];
};

const char *ledger_name(enum ledger_item i); /* "auth", "wait", … */

#endif
