#include "base/ledger.h"

static const char *const names[LEDGER__MAX] = {
	[LEDGER_AUTH] = "auth",         [LEDGER_RECV] = "recv",       [LEDGER_WAIT] = "wait",
	[LEDGER_DNS] = "dns",           [LEDGER_CONNECT] = "connect", [LEDGER_TLS] = "tls",
	[LEDGER_PROVIDER] = "provider", [LEDGER_FETCH] = "fetch",     [LEDGER_STORE] = "store",
	[LEDGER_OTHER] = "other",
};

const char *
ledger_name(enum ledger_item i)
{
	return names[i];
}
