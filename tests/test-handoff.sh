#!/bin/sh
# test-handoff.sh [PROMPT] - work that outlives its request
#
# SLOW_MODEL takes longer than two seconds for a picture and is asked for two; without it nothing can be seen of a
# deadline that passes.  As plain CGI a program ends with its answer: there is no hand-off in this mode, and
# nothing here fails for that.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-a panda}")
name=${SLOW_MODEL:-${MODEL-}}
member=${name:+,\"model\":$(json_quote "$name")}
path=/v1/images/generations
key=handoff-$$-$(date +%s)

# ask HEADER [BODY]
ask() {
	printf '%s' "${2:-{\"prompt\":$prompt,\"response_format\":\"url\"$member\}}" >"$tmp/request"
	call POST $path --header 'Content-Type: application/json' --header "Idempotency-Key: $key" --header "$1" \
		--data-binary "@$tmp/request"
}

# wait_for TASK - until it has ended; its status
wait_for() {
	for _ in $(seq 120); do
		call GET "/v1/tasks/$1"
		case $(json_get status) in
		PENDING | STARTED | RETRY) sleep 0.5 ;;
		*) break ;;
		esac
	done
	json_get status
}

echo "# a deadline that passes"
ask 'x-easel-deadline: 1s'
if [ "$status" = 200 ]; then
	skip "the picture came in time" "SLOW_MODEL is not set, or is quick"
else
	is_error "after one second" 504 deadline_exceeded
	is "an SDK does not try again" false "$(header x-should-retry)"
	task=$(json_get task_id)
	if [ "$task" = null ]; then
		skip "the work goes on" "no hand-off in this mode (CGI), or nothing was sent in time"
	else
		like "the answer names the task" '^task_[0-9a-z]{26}$' "$task"
		ask 'x-easel-deadline: 60s'
		is "the same request again waits for the same work" 200 "$status"
		is "… and says so" true "$(header idempotent-replayed)"
		like "there is a picture" '^https?://' "$(json_get url)"
		picture=$(json_get url)
		wait_for "$task" >"$tmp/status"
		is "the task has ended well" SUCCESS "$(cat "$tmp/status")"
		is "it has the same picture" "${picture##*/}" "$(json_get url | sed 's,.*/,,')"
	fi
fi

echo "# Prefer: respond-async"
key=$key-prefer
ask 'Prefer: respond-async, wait=0'
if [ "$status" = 200 ]; then
	is "not applied" "" "$(header preference-applied)"
	skip "the answer is the task" "no hand-off in this mode (CGI), or it was quicker"
else
	is "accepted" 202 "$status"
	is "applied" respond-async "$(header preference-applied)"
	like "where it is" '^/v1/tasks/task_[0-9a-z]{26}$' "$(header location)"
	is "the body is the task" task "$(json_get object)"
	task=$(json_get id)
	ask 'x-easel-deadline: 60s'
	is "the same request again waits for it" 200 "$status"
	like "there is its picture" '^https?://' "$(json_get url)"
	wait_for "$task" >"$tmp/status"
	is "the task has ended well" SUCCESS "$(cat "$tmp/status")"
fi

done_testing
