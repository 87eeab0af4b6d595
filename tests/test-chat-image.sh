#!/bin/sh
# test-chat-image.sh [PROMPT] - a picture through POST /v1/chat/completions
#
# Makes four pictures with the default image model, or with MODEL.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-一只可爱的熊猫}")
path=/v1/chat/completions
model=${MODEL-}
if [ -z "$model" ]; then
	# The default image model: what the images endpoint says that it used.
	post /v1/images/generations "{\"prompt\":$prompt,\"response_format\":\"url\"}"
	is "the default image model makes a picture" 200 "$status"
	model=$(header x-easel-model)
fi
name=$(json_quote "$model")

# chat MEMBERS - asks for the picture with these members added
chat() { post $path "{\"model\":$name,\"messages\":[{\"role\":\"user\",\"content\":$prompt}]${1:+,$1}}"; }

echo "# plain"
chat
is "plain: status 200" 200 "$status"
like "plain: it is JSON" '^application/json' "$(header content-type)"
is "plain: its object" chat.completion "$(json_get object)"
is "plain: it names the model that was asked for" "$model" "$(json_get model)"
is "plain: it ended well" stop "$(json_get finish_reason)"
content=$(json_get content)
url=$(json_get url)
is "plain: Markdown and images[] say the same" "![image]($url)" "$content"
like "plain: the tokens are counted" '^[0-9]+$' "$(json_get total_tokens)"
url_is_ours plain "$url"

echo "# parts"
post $path "{\"model\":$name,\"messages\":[{\"role\":\"system\",\"content\":\"You draw.\"},{\"role\":\"user\",\"content\":\
[{\"type\":\"text\",\"text\":$prompt}]}]}"
is "parts: status 200" 200 "$status"
url_is_ours parts "$(json_get url)"

echo "# stream"
chat '"stream":true,"stream_options":{"include_usage":true}'
is "stream: status 200" 200 "$status"
like "stream: it is an event stream" '^text/event-stream' "$(header content-type)"
is "stream: it ends with [DONE]" "data: [DONE]" "$(tr -d '\r' <"$tmp/body" | grep . | tail -n 1)"
is "stream: no event has a name" "" "$(grep '^event:' "$tmp/body")"
is "stream: one end" 1 "$(grep -c '"finish_reason":"stop"' "$tmp/body")"
is "stream: one id" 1 "$(json_all id | sort -u | grep -c .)"
is "stream: the usage comes last" 1 "$(grep '^data: {' "$tmp/body" | tail -n 1 | grep -c '"choices":\[\].*"total_tokens"')"
url=$(json_get url)
is "stream: the content is the Markdown" 1 "$(grep -cF "\"content\":\"![image]($url)\"" "$tmp/body")"
url_is_ours stream "$url"

echo "# refused"
post $path "{\"model\":$name}"
is_error "no messages" 400 missing_required_parameter messages
post $path "{\"model\":$name,\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]}"
is_error "nothing to draw" 400 missing_required_parameter messages
post $path "{\"model\":$name,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]}"
is_error "audio" 400 unsupported_parameter 'messages[0].content[0]'
chat '"n":11'
is_error "too many" 400 integer_above_max_value n
post $path "{\"model\":\"no-such-model-anywhere\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
is_error "an unknown model" 404 model_not_found model
open_call POST $path --header 'Content-Type: application/json' --data '{}'
is_error "no key" 401 missing_bearer_token
call GET $path
is_error "GET" 405 method_not_allowed
done_testing
