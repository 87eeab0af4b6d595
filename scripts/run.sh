#!/usr/bin/env bash
# run.sh BUILD - what `make run` does once BUILD is built: starts `easel serve`, makes the first key,
# draws one picture through the front door, says how to repeat it, and keeps serving until Ctrl-C.
#
# Settings: ./easel.toml when there is one, else the defaults (everything under ./var, the preview
# model, http://127.0.0.1:8080).  Nothing is asked of a provider that costs money.
set -u

build=${1:?usage: run.sh BUILD}
cd "$(dirname "$0")/.." || exit 1
easel=$build/easel
[[ $easel == /* ]] || easel=$PWD/$easel
tmp=
serve=
stop=

say() {
	printf '%s\n' "$*"
}

fail() {
	printf 'run.sh: %s\n' "$*" >&2
	end 1
}

# Ends `easel serve` (a second signal, meanwhile, ends it at once) and leaves nothing behind.
end() {
	local status=$1 ended
	trap 'kill -TERM "$serve" 2>/dev/null' INT TERM HUP
	if [[ $serve ]]; then
		kill -TERM "$serve" 2>/dev/null
		while :; do
			wait "$serve"
			ended=$?
			kill -0 "$serve" 2>/dev/null || break # else a signal interrupted wait
		done
		((status)) || status=$ended
	fi
	[[ $tmp ]] && rm -rf "$tmp"
	exit "$status"
}

# The signal only sets a word while a command runs, so that no step is left half done.
trap 'stop=1' INT TERM HUP

# One request, its key read from the file and in no argument list: call PATH [curl's options].
# The body goes to $tmp/answer; prints the status.
call() {
	local path=$1
	shift
	printf 'header = "Authorization: Bearer %s"\n' "$(cat "$key" 2>/dev/null)" |
		curl -sS -K - -o "$tmp/answer" -w '%{http_code}' "$@" "$url$path"
}

make_key() {
	local name=$1
	(umask 077 && "$easel" keys create --name "$name" >"$key.new") && mv "$key.new" "$key" && return
	rm -f "$key.new"
	return 1
}

state=$("$easel" config check --json | sed -n 's/^ *"state_dir": "\(.*\)",\{0,1\}$/\1/p')
[[ $state ]] || exit 3
key=$state/first.key
tmp=$(mktemp -d) || exit 1

# A process group of its own: Ctrl-C in the terminal reaches this script, and this script tells it.
mkfifo "$tmp/ready" || fail "no pipe in $tmp"
set -m
"$easel" serve >"$tmp/ready" &
serve=$!
set +m
exec 3<"$tmp/ready"
url=
while [[ ! $url && ! $stop ]] && read -r word rest <&3; do
	[[ $word == ready ]] && url=$rest
done
[[ $stop ]] && end 0
if [[ ! $url ]]; then
	wait "$serve"
	status=$?
	serve=
	say "easel serve did not start. Is the port taken? EASEL_SERVER_LISTEN=127.0.0.1:8081 make run" >&2
	end "$status"
fi

# The first key; another one when the file or the store was lost.
if [[ ! -s $key ]]; then
	make_key first 2>"$tmp/why" || make_key "first-$(date +%Y%m%d%H%M%S)" ||
		fail "no key could be made: $(cat "$tmp/why")"
	say "first key    $(cat "$key")"
	say "             (kept in $key, shown this once)"
elif [[ $(call /v1/models) == 401 ]]; then
	make_key "first-$(date +%Y%m%d%H%M%S)" || fail "no key could be made"
	say "new key      $(cat "$key")"
	say "             (the store did not know the old one; kept in $key, shown this once)"
fi
[[ $stop ]] && end 0

status=$(call /v1/models)
[[ $status == 200 ]] || fail "GET $url/v1/models answered $status: $(cat "$tmp/answer")"
model=
grep -q '"easel-preview"' "$tmp/answer" && model='"model":"easel-preview",'
body="{$model\"prompt\":\"a red fox in the snow\",\"response_format\":\"url\"}"

if [[ $model ]]; then
	status=$(call /v1/images/generations -H 'Content-Type: application/json' -d "$body")
	[[ $stop ]] && end 0
	[[ $status == 200 ]] || fail "the picture was not made: $status $(cat "$tmp/answer")"
	picture=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$tmp/answer")
	type=$(curl -sS -o "$tmp/picture" -w '%{http_code} %{content_type}' "$picture")
	[[ $type == "200 image/"* && -s $tmp/picture ]] || fail "the picture cannot be fetched: $type"
	say "a picture    $picture"
else
	say "(no picture was made: the configured models may cost money)"
fi
say "again        curl -sS $url/v1/images/generations -H 'Content-Type: application/json' -H \"Authorization: Bearer \$(cat $(printf %q "$key"))\" -d '$body'"
say "serving on   $url   Ctrl-C ends it"

# wait returns early for a signal; anything else is the end of `easel serve`.
while [[ ! $stop ]]; do
	wait "$serve"
	status=$?
	[[ $stop ]] && break
	kill -0 "$serve" 2>/dev/null && continue
	serve=
	end "$status"
done
end 0
