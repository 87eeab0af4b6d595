#!/bin/sh
# test-auth.sh - who is let in, and what the others are told
#
# Buys nothing.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# The words of a key that nobody has.
stranger=sk-easel-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA

# refused NAME CODE CAUSE METHOD PATH [CURL ARGUMENTS]
refused() {
	refused_name=$1 refused_code=$2 refused_cause=$3
	shift 3
	open_call "$@"
	is_error "$refused_name" 401 "$refused_code"
	is "$refused_name: cause $refused_cause" "$refused_cause" "$(json_get cause)"
	is "$refused_name: the caller's move" client "$(json_get party)"
	like "$refused_name: WWW-Authenticate" '^Bearer' "$(header www-authenticate)"
	isnt "$refused_name: a hint" "" "$(json_get text)"
	unlike "$refused_name: the key is not echoed" "$stranger" "$(cat "$tmp/body")"
}

echo "# every cause"
# with CAUSE… HEADER - the same refusal for the value of one Authorization header
missing() { refused "$1" missing_bearer_token "$2" GET /v1/models --header "$3"; }
invalid() { refused "$1" invalid_api_key "$2" GET /v1/models --header "$3"; }
missing "no header" header_absent 'X-Nothing: 1'
missing "the bare key" wrong_scheme "Authorization: $stranger"
missing "Basic" wrong_scheme 'Authorization: Basic dXNlcjpwYXNz'
missing "Bearer and nothing" empty_token 'Authorization: Bearer '
missing "Bearer alone" empty_token 'Authorization: Bearer'
invalid "an unknown key" unknown_key "Authorization: Bearer $stranger"
invalid "Bearer Bearer" double_bearer "Authorization: Bearer Bearer $stranger"
# shellcheck disable=SC2016 # a variable that the shell did not expand is the point
invalid 'a variable in braces' unexpanded_variable 'Authorization: Bearer ${EASEL_API_KEY}'
# shellcheck disable=SC2016
invalid 'a variable without' unexpanded_variable 'Authorization: Bearer $EASEL_API_KEY'
invalid "quotes" malformed_token "Authorization: Bearer \"$stranger\""
invalid "white space inside" malformed_token "Authorization: Bearer sk-easel-AAAA AAAA"
invalid "full-width letters" malformed_token "Authorization: Bearer ｓｋ－ｅａｓｅｌ"
invalid "a short word" unknown_key "Authorization: Bearer x"
invalid "another service's key" unknown_key "Authorization: Bearer sk-proj-0123456789abcdef"
refused "two headers" missing_bearer_token multiple_values GET /v1/models \
	--header "Authorization: Bearer $stranger" --header "Authorization: Bearer $stranger"
refused "in the query string" missing_bearer_token in_query_only GET "/v1/models?api_key=$stranger"
refused "in the query string, by another name" missing_bearer_token in_query_only GET \
	"/v1/models?limit=1&key=$stranger"

echo "# every route alike"
for route in 'POST /v1/images/generations' 'POST /images/generations' 'POST /v1/v1/images/generations' \
	'GET /v1/models' 'GET /models' 'GET /v1/models/easel-preview' 'GET /v1/nothing' 'GET /metrics'; do
	refused "$route" missing_bearer_token header_absent "${route%% *}" "${route#* }"
	refused "$route, a stranger" invalid_api_key unknown_key "${route%% *}" "${route#* }" \
		--header "Authorization: Bearer $stranger"
done
is "a body is not even looked at" 401 "$(
	open_call POST /v1/images/generations --data-binary 'not JSON'
	echo "$status"
)"

echo "# two keys, one of them right"
(umask 077 && {
	cat "$tmp/auth"
	echo "header = \"Authorization: Bearer $stranger\""
} >"$tmp/two")
refused "the right key and another" missing_bearer_token multiple_values GET /v1/models \
	--config "$tmp/two"

echo "# let in"
# lets_in NAME HEADER-VALUE; the value goes through a file, as the key is in it
lets_in() {
	(umask 077 && printf 'header = "Authorization:%s"\n' "$2" >"$tmp/one")
	open_call GET /v1/models --config "$tmp/one"
	is "$1" 200 "$status"
}
lets_in "Bearer" " Bearer $KEY"
lets_in "bearer" " bearer $KEY"
lets_in "BEARER" " BEARER $KEY"
lets_in "spaces around the key" "    Bearer    $KEY   "
lets_in "tabs around the key" "\\tBearer\\t$KEY\\t"

echo "# in Chinese"
open_call GET /v1/models --header 'Accept-Language: zh-CN,zh;q=0.9'
is "the code stays" missing_bearer_token "$(json_get code)"
like "the message is Chinese" '令牌' "$(json_get message)"

echo "# open without a key"
for path in /healthz /readyz; do
	open_call GET $path
	is "$path is open" 200 "$status"
done
open_call GET /files/00000000000000000000000000.png
is "a picture that is not there is 404, not 401" 404 "$status"

done_testing
