#!/bin/sh
# test-stream.sh [PROMPT] - a stream of pictures from POST /v1/images/generations
#
# Makes five pictures with the default image model, or with MODEL.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-一只可爱的熊猫}")
model=${MODEL:+"\"model\":$(json_quote "$MODEL"),"}
path=/v1/images/generations

# make MEMBERS - asks for a stream with these members added
make() { post $path "{${model}\"prompt\":$prompt,\"stream\":true${1:+,$1}}"; }

# names - the events in their order, one a line
names() { tr -d '\r' <"$tmp/body" | sed -n 's/^event: //p'; }

# lines PATTERN - how many lines of the answer match
lines() { tr -d '\r' <"$tmp/body" | grep -cE -e "$1"; }

echo "# one picture"
make '"partial_images":2'
is "status 200" 200 "$status"
like "it is an event stream" '^text/event-stream; *charset=utf-8$' "$(header content-type)"
like "nobody keeps it" 'no-cache' "$(header cache-control)"
like "nobody collects it" '^no$' "$(header x-accel-buffering)"
like "x-request-id" '^req_[0-9a-z]{26}$' "$(header x-request-id)"
is "the last event" image_generation.completed "$(names | tail -n 1)"
is "one completed event" 1 "$(names | grep -c completed)"
unlike "nothing but pictures" 'error' "$(names)"
is "the type is the event's name" "$(names)" "$(json_all type)"
is "as many lines of data as events" "$(names | grep -c .)" "$(lines '^data: \{.*\}$')"
is "nothing but events, data and comments" 0 "$(lines '^[^:ed]|^e[^v]|^d[^a]')"
is "the pictures' places among the partial ones" \
	"$(names | grep -c partial_image)" "$(json_all partial_image_index | sort -u | grep -c .)"
like "created_at is a time" '^[0-9]{10}$' "$(json_get created_at)"
like "size" '^[0-9]+x[0-9]+$' "$(json_get size)"
isnt "quality" "" "$(json_get quality)"
isnt "background" "" "$(json_get background)"
like "usage" '^[0-9]+$' "$(json_get total_tokens)"
like "the last event says how long it took" '^[0-9.]+$' "$(json_get provider)"
is "the last event names the request" "$(header x-request-id)" "$(json_get request_id)"
json_all b64_json | tail -n 1 | base64 -d >"$tmp/streamed" 2>/dev/null
isnt "it is a picture" "not a picture" "$(picture_type "$tmp/streamed")"
is "output_format is its type" "$(picture_type "$tmp/streamed")" "$(json_all output_format | tail -n 1)"
url_is_ours "where it is stored" "$(json_get url)"
if cmp -s "$tmp/streamed" "$tmp/picture"; then ok "the same bytes"; else not_ok "the same bytes"; fi

echo "# two pictures"
make '"n":2'
is "n=2: status 200" 200 "$status"
is "n=2: two completed events" 2 "$(names | grep -c completed)"
is "n=2: two different pictures" 2 "$(json_all url | sort -u | grep -c .)"

echo "# output_format"
make '"output_format":"webp"'
is "webp: the event says so" webp "$(json_all output_format | tail -n 1)"
json_all b64_json | tail -n 1 | base64 -d >"$tmp/streamed" 2>/dev/null
is "webp: the bytes say so" webp "$(picture_type "$tmp/streamed")"

echo "# stream: false is no stream"
post $path "{${model}\"prompt\":$prompt,\"stream\":false}"
is "false: status 200" 200 "$status"
like "false: it is JSON" '^application/json' "$(header content-type)"

echo "# refused: with a status, as without a stream"
# refused NAME STATUS CODE PARAM MEMBERS
refused() {
	post $path "{\"stream\":true${5:+,$5}}"
	is_error "$1" "$2" "$3" "$4"
}
refused "no prompt" 400 missing_required_parameter prompt ''
refused "too many partial pictures" 400 integer_above_max_value partial_images '"prompt":"a panda","partial_images":4'
refused "a model nobody has" 404 model_not_found model '"prompt":"a panda","model":"no-such-model-anywhere"'
post $path "{\"prompt\":\"a panda\",\"stream\":\"yes\"}"
is_error "stream as text" 400 invalid_type stream

done_testing
