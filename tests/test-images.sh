#!/bin/sh
# test-images.sh [PROMPT] - pictures through POST /v1/images/generations
#
# Makes eight pictures with the default image model, or with MODEL.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-一只可爱的熊猫}")
model=${MODEL:+"\"model\":$(json_quote "$MODEL"),"}
path=/v1/images/generations

# make MEMBERS - asks for the picture with these members added
make() { post $path "{${model}\"prompt\":$prompt${1:+,$1}}"; }

echo "# response_format url"
make '"response_format":"url"'
is "url: status 200" 200 "$status"
like "url: it is JSON" '^application/json' "$(header content-type)"
like "url: x-request-id" '^req_[0-9a-z]{26}$' "$(header x-request-id)"
like "url: server-timing is the ledger" 'auth;dur=[0-9.]+' "$(header server-timing)"
like "url: server-timing says what the provider took" 'provider;dur=[0-9.]+' "$(header server-timing)"
like "url: created is a time" '^[0-9]{10}$' "$(json_get created)"
is "url: no picture in the answer" "" "$(json_get b64_json)"
url_is_ours url "$(json_get url)"
like "url: its type" "^image/$(picture_type "$tmp/picture")\$" "$(header content-type)"
like "url: it may be cached for ever" 'immutable' "$(header cache-control)"
is "url: browsers do not guess" nosniff "$(header x-content-type-options)"

in_base64

echo "# output_format"
for format in png jpeg webp; do
	make "\"response_format\":\"url\",\"output_format\":\"$format\""
	is "$format: status 200" 200 "$status"
	is "$format: the answer says so" "$format" "$(json_get output_format)"
	fetch "$(json_get url)"
	is "$format: the bytes say so" "$format" "$(picture_type "$tmp/picture")"
	like "$format: the header says so" "^image/$format" "$(header content-type)"
done

echo "# n"
make '"response_format":"url","n":2'
is "n=2: status 200" 200 "$status"
is "n=2: two different pictures" 2 "$(json_all url | sort -u | grep -c .)"

echo "# size, and the receipt"
make '"response_format":"url","output_format":"png","size":"1024x1024","colour_of_panda":"blue"'
is "size: status 200" 200 "$status"
like "receipt: an unknown parameter is named" 'colour_of_panda' "$(header x-easel-params)"
fetch "$(json_get url)"
is "size: the picture has it" 1024x1024 "$(png_size "$tmp/picture")"

echo "# refused"
# refused NAME STATUS CODE PARAM BODY
refused() {
	post $path "$5"
	is_error "$1" "$2" "$3" "$4"
}
refused "no prompt" 400 missing_required_parameter prompt '{}'
refused "an empty prompt" 400 invalid_value prompt '{"prompt":""}'
refused "a prompt that is a number" 400 invalid_type prompt '{"prompt":7}'
refused "n above ten" 400 integer_above_max_value n '{"prompt":"a panda","n":11}'
refused "n below one" 400 integer_below_min_value n '{"prompt":"a panda","n":0}'
refused "n as text" 400 invalid_type n '{"prompt":"a panda","n":"2"}'
refused "a size with a star" 400 invalid_value size '{"prompt":"a panda","size":"1024*1024"}'
refused "response_format xml" 400 invalid_value response_format '{"prompt":"a panda","response_format":"xml"}'
refused "output_format gif" 400 invalid_value output_format '{"prompt":"a panda","output_format":"gif"}'
refused "a model nobody has" 404 model_not_found model '{"prompt":"a panda","model":"no-such-model-anywhere"}'
refused "no JSON" 400 invalid_json null 'prompt=a panda'
refused "JSON cut off" 400 invalid_json null '{"prompt":"a pan'
refused "a key twice" 400 duplicate_key prompt '{"prompt":"a panda","prompt":"a bear"}'
refused "a list" 400 invalid_type body '[]'
refused "an empty body" 400 invalid_json null ''

printf '{"prompt":"a panda"}' >"$tmp/request"
call POST $path --header 'Content-Type: text/plain' --data-binary "@$tmp/request"
is_error "text/plain" 415 unsupported_media_type

done_testing
