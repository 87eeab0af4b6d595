#!/bin/sh
# test-timeouts.sh [PROMPT] - x-easel-deadline: an answer within a second of it, whatever happens
#
# MODEL is asked for at most three pictures (the default model when it is not set).  SLOW_MODEL is one
# that takes longer than two seconds for a picture: with it every request must end at its deadline;
# without it a picture that comes in time is as good.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-a panda}")
name=${SLOW_MODEL:-${MODEL-}}
member=${name:+,\"model\":$(json_quote "$name")}
path=/v1/images/generations
body="{\"prompt\":$prompt,\"response_format\":\"url\"$member}"

# ask DEADLINE BODY - sets $status, and $ms to how long it took
ask() {
	printf '%s' "$2" >"$tmp/request"
	call POST $path --header 'Content-Type: application/json' --header "x-easel-deadline: $1" \
		--data-binary "@$tmp/request" --write-out '%{http_code} %{time_total}'
	ms=${status#* } status=${status%% *}
	# seconds with six digits: "1.002003"
	ms=$(printf '%s' "$ms" | sed -E 's/^([0-9]+)\.([0-9]{3}).*/\1\2/; s/^0+([0-9])/\1/')
	case $ms in '' | *[!0-9]*) ms=999999 ;; esac
}

# between NAME FROM TO GOT
between() {
	if [ "$4" -ge "$2" ] && [ "$4" -le "$3" ]; then ok "$1"; else
		not_ok "$1" "want: $2 to $3" "got:  $4"
	fi
}

echo "# deadlines that are none; nothing is bought"
for wrong in 0s 0 -1s soon '20 parsecs' 1.5s 's' 99999999999999999999s; do
	ask "$wrong" "$body"
	is_error "'$wrong'" 400 invalid_value x-easel-deadline
	like "'$wrong': the message shows one" '20s' "$(json_get message)"
done
call GET /v1/models --header 'x-easel-deadline: soon'
is_error "on another route" 400 invalid_value x-easel-deadline
open_call GET /v1/models --header 'x-easel-deadline: soon'
is_error "without a key it is the key that counts" 401 missing_bearer_token
for good in 5s 5000ms 1m 1h 9999h; do
	call GET /v1/models --header "x-easel-deadline: $good"
	is "'$good' is one" 200 "$status"
done

# sum - all items of server-timing, in milliseconds
sum() {
	total=0
	for tenths in $(header server-timing | grep -oE 'dur=[0-9]+\.[0-9]' | sed -e 's/dur=//' -e 's/\.//' -e 's/^0*\([0-9]\)/\1/'); do
		total=$((total + tenths))
	done
	echo $((total / 10))
}

# ends DEADLINE MILLISECONDS SECONDS-IN-WORDS
ends() {
	ask "$1" "$body"
	between "$1: there is an answer within a second of it" 0 $(($2 + 1000)) "$ms"
	if [ -z "${SLOW_MODEL-}" ] && [ "$status" = 200 ]; then
		ok "$1: the picture came in time"
		return
	fi
	is_error "$1" 504 deadline_exceeded
	between "$1: not before it" $(($2 > 500 ? $2 - 500 : 0)) $(($2 + 1000)) "$ms"
	like "$1: the message says how long it was" "(^|[^0-9.])$3 s([^0-9]|\$)" "$(json_get message)"
	like "$1: the stage says where it was" '^[a-z.]+$' "$(json_get stage)"
	like "$1: whether it may have cost something" '^(true|false)$' "$(json_get may_have_been_billed)"
	is "$1: an SDK does not try again" false "$(header x-should-retry)"
	between "$1: server-timing says where the time went" $(($2 - $2 / 5)) $((ms + 50)) "$(sum)"
}

echo "# a deadline that passes"
ends 1ms 1 0.001
ends 300ms 300 0.3
ends 1s 1000 1

done_testing
