#!/bin/sh
# test-idempotency.sh [PROMPT] - a request that is sent again buys nothing
#
# MODEL is asked for three pictures (the default model when it is not set).  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-a panda}")
member=${MODEL:+,\"model\":$(json_quote "$MODEL")}
path=/v1/images/generations
body="{\"prompt\":$prompt,\"response_format\":\"url\"$member}"
key=test-$$-$(date +%s)

# ask KEY BODY
ask() {
	printf '%s' "$2" >"$tmp/request"
	call POST $path --header 'Content-Type: application/json' --header "Idempotency-Key: $1" \
		--data-binary "@$tmp/request"
}

echo "# the same key and body"
ask "$key" "$body"
is "the first: status" 200 "$status"
is "the first is no repetition" "" "$(header idempotent-replayed)"
first=$(json_get url)
like "there is a picture" '^https?://' "$first"
ask "$key" "$body"
is "again: status" 200 "$status"
is "again: it says so" true "$(header idempotent-replayed)"
is "again: the same picture" "$first" "$(json_get url)"
ask "$key" "{$(printf '%s' "${member#,}" | sed 's/.$/&,/')\"response_format\":\"url\",\"prompt\":$prompt}"
is "the order of members does not matter" "$first" "$(json_get url)"

echo "# what is not the same"
ask "$key" "{\"prompt\":\"something else\"$member}"
is_error "another body" 422 idempotency_mismatch Idempotency-Key
ask "$key-2" "$body"
is "another key: status" 200 "$status"
isnt "another key: another picture" "$first" "$(json_get url)"

echo "# tasks"
path=/v1/tasks
ask "$key-task" "{\"prompt\":$prompt$member}"
is "a task: status" 202 "$status"
is "it is no repetition" "" "$(header idempotent-replayed)"
task=$(json_get id)
ask "$key-task" "{\"prompt\":$prompt$member}"
is "again: status" 202 "$status"
is "again: it says so" true "$(header idempotent-replayed)"
is "again: the same task" "$task" "$(json_get id)"
ask "$key-task" "{\"prompt\":\"something else\"$member}"
is_error "another task" 422 idempotency_mismatch Idempotency-Key
call DELETE "/v1/tasks/$task"

echo "# keys that are none"
ask "$(printf '%0256d' 0)" "$body"
is_error "256 characters" 400 string_above_max_length Idempotency-Key

done_testing
