#!/bin/sh
# test-models.sh - GET /v1/models, GET /v1/models/{id}, and the rules for paths and methods
#
# Buys nothing.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

echo "# the list"
call GET /v1/models
is "list: status 200" 200 "$status"
like "list: it is JSON" '^application/json' "$(header content-type)"
like "list: x-request-id" '^req_[0-9a-z]{26}$' "$(header x-request-id)"
like "list: server-timing" 'auth;dur=[0-9.]+' "$(header server-timing)"
json_all id >"$tmp/ids"
like "list: it is a list" '(^|[^a-z])list' "$(json_all object | grep -x list)"
isnt "list: there are models" 0 "$(grep -c . <"$tmp/ids")"
is "list: each id once" "" "$(sort "$tmp/ids" | uniq -d)"
is "list: each is a model" "$(grep -c . <"$tmp/ids")" "$(json_all object | grep -cx model)"
is "list: each has a time" "$(grep -c . <"$tmp/ids")" "$(json_all created | grep -cE '^[0-9]+$')"
is "list: each has an owner" "$(grep -c . <"$tmp/ids")" "$(json_all owned_by | grep -c .)"
first=$(head -n 1 "$tmp/ids")
slashed=$(grep / "$tmp/ids" | head -n 1)

echo "# one model"
# found NAME PATH ID
found() {
	call GET "$2"
	is "$1: status 200" 200 "$status"
	is "$1: the model" "$3" "$(json_get id)"
	is "$1: object" model "$(json_get object)"
	like "$1: what it is for" '^(image|chat)$' "$(json_get type)"
}
found "the first" "/v1/models/$first" "$first"
if [ "$slashed" ]; then
	encoded=$(printf %s "$slashed" | sed 's,/,%2F,g')
	found "an id with a slash" "/v1/models/$slashed" "$slashed"
	found "the slash as %2F" "/v1/models/$encoded" "$slashed"
	found "the slash as %2f" "/v1/models/$(printf %s "$slashed" | sed 's,/,%2f,g')" "$slashed"
	found "%2F without /v1" "/models/$encoded" "$slashed"
else
	skip "an id with a slash" "no model here has one"
fi

call GET /v1/models/no-such-model-anywhere
is_error "a model nobody has" 404 model_not_found model
call GET "/v1/models/${first}x"
is_error "a slip of the pen" 404 model_not_found
like "a slip of the pen: the nearest name" "${first}([^x]|\$)" "$(json_get message)"

echo "# HEAD"
call HEAD /v1/models
is "HEAD: status 200" 200 "$status"

echo "# one list, many spellings"
for path in /v1/models /models /v1/v1/models //v1/models /v1//models ///v1///models '/v1/models?limit=1'; do
	call GET "$path"
	is "GET $path" 200 "$status"
done

echo "# methods"
# not_allowed METHOD PATH ALLOW
not_allowed() {
	call "$1" "$2"
	is_error "$1 $2" 405 method_not_allowed
	like "$1 $2: Allow names $3" "(^|[ ,])$3([ ,]|\$)" "$(header allow)"
}
not_allowed POST /v1/models GET
not_allowed DELETE /v1/models GET
not_allowed PUT "/v1/models/$first" GET
not_allowed GET /v1/images/generations POST
not_allowed GET /images/generations POST
not_allowed DELETE /v1/images/generations POST

echo "# paths"
# no_such METHOD PATH MEANT - 404 whose message or hint says what was meant; never a redirect
no_such() {
	call "$1" "$2" --header 'Content-Type: application/json' --data '{"prompt":"a panda"}'
	is_error "$1 $2" 404 endpoint_not_found
	like "$1 $2: says what was meant" "$3" "$(json_get message) $(json_get text)"
	is "$1 $2: no redirect" "" "$(header location)"
}
no_such POST /v1/images/generation /v1/images/generations
no_such POST /v1/images/generations/ /v1/images/generations
no_such POST /v1/images/generations/images/generations /v1/images/generations
no_such POST /v1/image/generations /v1/images/generations
no_such POST /v1images/generations /v1/images/generations
no_such GET /v1/model /v1/models
no_such GET /v1/nothing-like-it nothing-like-it

# bad METHOD PATH
bad() {
	call "$1" "$2"
	is_error "$1 $2" 400 bad_path
}
bad GET /v1/../v1/models
bad GET /v1/%2e%2e/v1/models
bad GET /v1/.%2E/models
bad GET /v1/./models
bad GET /v1/models/../../files
bad GET /v1/models/%2e%2e/secret
bad GET /v1/mo%0adels
bad GET /v1/models%00
call GET '/v1/..;/models'
is_error "..;" 404 endpoint_not_found
call GET /v1%2Fmodels
is_error "%2F outside of an id" 404 endpoint_not_found

done_testing
