#!/bin/sh
# test-task-create.sh [PROMPT] - pictures as tasks: taken in, followed, read, listed, cancelled; and the older service's way
#
# Makes two pictures with the default image model, or with MODEL, and one more the older way where there is an account
# for it: NOVELAI_TOKEN_FILE, a file with a NovelAI token, and OLDER_MODEL when it is not to be that service's
# default.  A task waits for its worker TASK_WAIT seconds, 120 unless it is set.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

text=${1:-一朵红色的玫瑰花}
prompt=$(json_quote "$text")
model=${MODEL:+"\"model\":$(json_quote "$MODEL"),"}
TASK_ID='^task_[0-9a-z]{26}$'

# add MEMBERS - asks for a task with these members added
add() { post /v1/tasks "{${model}\"prompt\":$prompt${1:+,$1}}"; }

# wait_for PATH PATTERN - asks until the answer's status fits
wait_for() {
	left=${TASK_WAIT:-120}
	call GET "$1"
	until printf '%s' "$(json_get status)" | grep -qE "$2" || [ "$left" -le 0 ] || [ "$status" != 200 ]; do
		sleep 1
		left=$((left - 1))
		call GET "$1"
	done
}

echo "# a task is taken in: $text"
add
is "taken in: status 202" 202 "$status"
is "taken in: it is a task" task "$(json_get object)"
is "taken in: it waits" PENDING "$(json_get status)"
id=$(json_get id)
like "taken in: its id" "$TASK_ID" "$id"
self=$(json_get self)
like "taken in: where it is" "^https?://[^/]+/v1/tasks/$id\$" "$self"
is "taken in: the header says so too" "$self" "$(header location)"
is "taken in: its events" "$self/events" "$(json_get events)"
is "taken in: it came of this request" "$(header x-request-id)" "$(json_get request_id)"

echo "# its events, to the end"
MAX_TIME=${TASK_WAIT:-120} call GET "/v1/tasks/$id/events" --no-buffer
is "events: status 200" 200 "$status"
like "events: they are a stream" '^text/event-stream' "$(header content-type)"
is "events: the first tells the task" "event: task" "$(grep '^event: ' "$tmp/body" | head -n 1)"
is "events: the last says that it is done" "event: done" "$(grep '^event: ' "$tmp/body" | tail -n 1)"

echo "# what became of it"
wait_for "/v1/tasks/$id" '^(SUCCESS|FAILURE|REVOKED)$'
is "read: status 200" 200 "$status"
is "read: it succeeded" SUCCESS "$(json_get status)"
is "read: no error" null "$(json_get error)"
is "read: nothing before it" null "$(json_get queue_position)"
is "read: its attempt" succeeded "$(json_get outcome)"
url_is_ours read "$(json_get url)"

echo "# lists"
add
second=$(json_get id)
call GET '/v1/tasks?limit=100'
is "list: status 200" 200 "$status"
is "list: it is one" list "$(json_get object)"
# Others may use the same key meanwhile.
is "list: the newer one first" "$second $id " "$(json_all id | grep -e "^$id\$" -e "^$second\$" | tr '\n' ' ')"
call GET "/v1/tasks?limit=100&after=$second"
is "list: the page behind it" "$id " "$(json_all id | grep -e "^$id\$" -e "^$second\$" | tr '\n' ' ')"
call GET '/v1/tasks?limit=0'
is_error "list: a limit that is none" 400 integer_below_min_value limit
call GET '/v1/tasks?status=done'
is_error "list: a status that is none" 400 invalid_value status

echo "# cancelling"
call DELETE "/v1/tasks/$second"
if [ "$status" = 409 ]; then
	is_error "it was quicker" 409 task_terminal
else
	is "a task that waits or runs: status 200" 200 "$status"
fi
wait_for "/v1/tasks/$second" '^(SUCCESS|FAILURE|REVOKED)$'
like "it has ended" '^(REVOKED|SUCCESS)$' "$(json_get status)"
call DELETE "/v1/tasks/$second"
is_error "what has ended stays so" 409 task_terminal

echo "# refused before anything is bought"
post /v1/tasks '{}'
is_error "no prompt" 400 missing_required_parameter prompt
add '"n":11'
is_error "n above ten" 400 integer_above_max_value n
add '"callback_url":"http://127.0.0.1/"'
is_error "a webhook that leads inside" 400 url_not_allowed callback_url
post /v1/tasks "{\"model\":\"no-such-model\",\"prompt\":$prompt}"
is_error "no such model" 404 model_not_found model
call GET /v1/tasks/task_00000000000000000000000000
is_error "no such task" 404 not_found
call GET /v1/tasks/task_00000000000000000000000000/events
is_error "nor events of it" 404 not_found
call DELETE /v1/tasks/task_00000000000000000000000000
is_error "nor anything to cancel" 404 not_found
open_call POST /v1/tasks --header 'Content-Type: application/json' --data '{"prompt":"a"}'
is_error "without a key" 401 missing_bearer_token

# older_error NAME STATUS CODE - the answer is that service's
older_error() {
	is "$1: status $2" "$2" "$status"
	is "$1: success" false "$(json_get success)"
	is "$1: code $3" "$3" "$(json_get code)"
	isnt "$1: there is a message" "" "$(json_get error)"
	is "$1: the request's id" "$(header x-request-id)" "$(json_get request_id)"
}

echo "# the older service's way"
post /generate "{\"auth_type\":\"key\",\"prompt\":$prompt}"
older_error "an auth_type that is none" 400 invalid_value
post /generate "{\"auth_type\":\"token\",\"prompt\":$prompt}"
older_error "no token" 400 missing_required_parameter
open_call POST /generate --header 'Content-Type: application/json' --data '{}'
older_error "without a key" 401 missing_bearer_token
call GET /task_status/task_00000000000000000000000000
older_error "no such task" 404 not_found
call POST /cancel_task/task_00000000000000000000000000
older_error "nothing to cancel" 404 not_found
call GET /queue_status
is "the queue: status 200" 200 "$status"
is "the queue: success" true "$(json_get success)"
like "the queue: how many wait" '^[0-9]+$' "$(json_get total_pending)"
call GET "/task_status/$id"
is "a task's status: status 200" 200 "$status"
is "a task's status: done" true "$(json_get "done")"
is "a task's status: SUCCESS" SUCCESS "$(json_get status)"
like "a task's status: the picture" '^data:image/(png|jpeg|webp);base64,' "$(json_get image_url | head -c 40)"

if [ -z "${NOVELAI_TOKEN_FILE-}" ]; then
	skip "a picture with the caller's account" "NOVELAI_TOKEN_FILE is not set"
else
	# The line break behind a pasted token is part of the test; the token is in no argument list.
	(umask 077 && {
		printf '{"auth_type":"token","token":"%s\\n","prompt":%s,"steps":28,"scale":11,"resolution":"portrait"' \
			"$(cat "$NOVELAI_TOKEN_FILE")" "$prompt"
		[ -z "${OLDER_MODEL-}" ] || printf ',"model":%s' "$(json_quote "$OLDER_MODEL")"
		printf '}'
	} >"$tmp/request")
	call POST /generate --header 'Content-Type: application/json' --data-binary "@$tmp/request"
	is "generate: status 200" 200 "$status"
	is "generate: success" true "$(json_get success)"
	is "generate: its words" 图像生成任务已提交 "$(json_get message)"
	older=$(json_get task_id)
	like "generate: the task" "$TASK_ID" "$older"
	wait_for "/task_status/$older" '^(SUCCESS|FAILURE|REVOKED)$'
	is "generate: it succeeded" SUCCESS "$(json_get status)"
	is "generate: done" true "$(json_get "done")"
	json_get image_url | sed 's/^data:[^,]*,//' | base64 -d >"$tmp/picture" 2>/dev/null
	isnt "generate: a picture" "not a picture" "$(picture_type "$tmp/picture")"
fi

done_testing
