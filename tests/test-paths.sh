#!/bin/sh
# test-paths.sh - the rules for paths and methods, and what somebody is told who broke one
#
# Buys nothing: no request here is one that makes a picture.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# A POST that is refused for its body: that it arrived is all there is to know.
probe='{"prompt":""}'

# same PATH - the list of models, spelled differently
same() {
	call GET "$1"
	is "GET $1: status 200" 200 "$status"
	like "GET $1: the list" '"object": *"list"' "$(head -c 100 "$tmp/body")"
}

# arrives PATH - POST /v1/images/generations, spelled differently
arrives() {
	post "$1" "$probe"
	is_error "POST $1" 400 invalid_value prompt
}

# no_such METHOD PATH WORDS… - 404 that says each of the words; never a redirect
no_such() {
	no_such_name="$1 $2"
	if [ "$1" = POST ]; then post "$2" "$probe"; else call "$1" "$2"; fi
	is_error "$no_such_name" 404 endpoint_not_found
	is "$no_such_name: no redirect" "" "$(header location)"
	shift 2
	for words; do
		like "$no_such_name: says '$words'" "$words" "$(json_get message) $(json_get text)"
	done
}

# not_allowed METHOD PATH ALLOW…
not_allowed() {
	not_allowed_name="$1 $2"
	call "$1" "$2"
	is_error "$not_allowed_name" 405 method_not_allowed
	is "$not_allowed_name: no redirect" "" "$(header location)"
	shift 2
	for method; do
		like "$not_allowed_name: Allow names $method" "(^|[ ,])$method([ ,]|\$)" "$(header allow)"
		like "$not_allowed_name: so does the message" "$method" "$(json_get message) $(json_get text)"
	done
}

# bad PATH - 400, whoever asks in whatever way
bad() {
	call GET "$1"
	is_error "GET $1" 400 bad_path
	post "$1" "$probe"
	is_error "POST $1" 400 bad_path
}

call GET /v1/models
first=$(json_get id)

echo "# repeated slashes collapse"
for path in //v1/models /v1//models ///v1////models //models; do
	same "$path"
done
for path in //v1/images/generations /v1//images//generations /v1/images///generations; do
	arrives "$path"
done

echo "# with /v1, without, and twice"
for path in /v1/models /models /v1/v1/models '/v1/models?limit=1' '/models?a=b&c=%2F..%2F'; do
	same "$path"
done
for path in /v1/images/generations /images/generations /v1/v1/images/generations \
	'/v1/images/generations?a=b'; do
	arrives "$path"
done
echo "# letters may be encoded"
same /v1/%6dodels
arrives /v1/images/%67enerations

echo "# a base URL that already held an endpoint"
no_such POST /v1/images/generations/images/generations 'POST /v1/images/generations' base_url
no_such POST /v1/images/generations/v1/images/generations 'POST /v1/images/generations'
no_such POST /v1/chat/completions/images/generations 'POST /v1/images/generations'

echo "# near misses"
no_such POST /v1/images/generation 'POST /v1/images/generations'
no_such POST /images/generation 'POST /v1/images/generations'
no_such POST /v1/image/generations 'POST /v1/images/generations'
no_such POST /v1/images/genrations 'POST /v1/images/generations'
no_such POST /v1images/generations /v1/images/generations
no_such GET /v1/model 'GET /v1/models'
no_such GET /v1/images/generation /v1/images/generations
no_such GET /v1/there-is-nothing-here there-is-nothing-here /v1/models

echo "# a trailing slash"
no_such POST /v1/images/generations/ 'trailing slash' 'POST /v1/images/generations'
no_such POST /images/generations// 'trailing slash' /images/generations
no_such GET /v1/models/ 'trailing slash' 'GET /v1/models'

echo "# the wrong method"
not_allowed GET /v1/images/generations POST
not_allowed GET /images/generations POST
not_allowed GET /v1/v1/images/generations POST
not_allowed PUT /v1/images/generations POST
not_allowed DELETE /v1/images/generations POST
not_allowed POST /v1/models GET
not_allowed DELETE "/v1/models/$first" GET
not_allowed POST /healthz GET
call HEAD /v1/models
is "HEAD where GET is meant: status 200" 200 "$status"
call HEAD /v1/images/generations
is "HEAD where POST is meant: status 405" 405 "$status"
is "HEAD where POST is meant: Allow" POST "$(header allow)"

echo "# dot segments, plain and encoded"
for path in /v1/../v1/models /v1/./models /v1/models/.. /v1/models/. /v1/%2e%2e/v1/models \
	/v1/.%2E/models /v1/%2E/models /v1/models/../../files /v1/models/%2e%2e/secret \
	/v1/models/..%2f..%2fsecret /v1/models/a%2F../b /files/../v1/models /files/%2e%2e/easel.db; do
	bad "$path"
done
call GET '/v1/models?path=/../../etc'
is "dots in the query are no segment" 200 "$status"
call GET /v1/models/a..b
is_error "dots within a segment are no segment" 404 model_not_found

echo "# control characters, escapes that are none"
for path in /v1/mo%0adels /v1/models%00 /v1/models/%00 /v1/models%0d%0aX-Injected:%201 /v1/%7fmodels \
	/v1/models%1b /v1/models%zz /v1/models% /v1/models%2 /v1/models/%ff%fe; do
	bad "$path"
	is "$path: nothing was injected" "" "$(header x-injected)"
done

echo "# %2F is understood within a model's id alone"
no_such GET /v1%2Fmodels
no_such GET /v1%2fmodels
no_such GET /%2Fv1/models
no_such POST /v1/images%2Fgenerations
call GET /v1/models/no-such%2Fmodel
is_error "%2F in an id" 404 model_not_found model
like "%2F in an id: it is a slash" 'no-such/model' "$(json_get message)"
call GET /v1/models/no-such/model
is_error "a slash in an id" 404 model_not_found model
for id in $(call GET /v1/models && json_all id | grep / | head -n 2); do
	call GET "/v1/models/$(printf %s "$id" | sed 's,/,%2F,g')"
	is "%2F in $id" "$id" "$(json_get id)"
done

echo "# ..; is no way around"
no_such GET '/v1/..;/models'
call GET '/v1/models/..;/..;/metrics'
is_error "..; in an id" 404 model_not_found
no_such POST '/v1/x/..;/images/generations'

echo "# none of it needs a key to be judged, all of it needs one to be told"
open_call GET /v1/../v1/models
is_error "a dot segment without a key" 400 bad_path
open_call POST /v1/images/generation --header 'Content-Type: application/json' --data "$probe"
is_error "a near miss without a key" 401 missing_bearer_token

done_testing
