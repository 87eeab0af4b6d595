#!/bin/sh
# test-login.sh - the login test, a login with an e-mail address and a password, and its end
#
# Buys nothing.  With EASEL_EMAIL and EASEL_PASSWORD_FILE (a user of the installation) it logs in and out;
# without, only what holds for everybody is tested.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# log_in EMAIL PASSWORD-FILE - the password is in no argument list
log_in() {
	(umask 077 && {
		printf '{"email":"%s","password":"' "$1"
		sed 's/[\\"]/\\&/g' "$2" | tr -d '\n'
		printf '"}'
	} >"$tmp/request")
	open_call POST /login --header 'Content-Type: application/json' --data-binary "@$tmp/request"
}

echo "# the login test"
call GET /login
is "a key is let in" 200 "$status"
is "it is authenticated" true "$(json_get authenticated)"
is "by a key" key "$(json_get kind)"
like "with a fingerprint" '^[0-9a-f]{8}$' "$(json_get fingerprint)"
unlike "the key is not in it" "$KEY" "$(cat "$tmp/body")"
open_call GET /login
is_error "nobody is not" 401 missing_bearer_token
call DELETE /login
is_error "a key cannot be logged out" 400 not_a_session

echo "# wrong logins"
printf 'no-such-password' >"$tmp/wrong"
log_in "nobody-$$@example.invalid" "$tmp/wrong"
is_error "an unknown user" 401 invalid_credentials
is "the caller's move" client "$(json_get party)"
isnt "a hint" "" "$(json_get text)"
open_call POST /login --header 'Content-Type: application/json' --data '{"email":"a@example.invalid"}'
is_error "no password" 400 missing_required_parameter
open_call POST /login --header 'Content-Type: application/json' \
	--data '{"email":"a@example.invalid","password":"x","is_admin":true}'
is_error "a member that there is not" 400 unsupported_parameter
open_call POST /login --header 'Content-Type: application/json' \
	--data '{"provider":"novelai","email":"a@example.invalid","password":"x"}'
is_error "a provider's login needs a bearer" 401 missing_bearer_token
open_call PUT /login --header "Authorization: Bearer $KEY" --data '{}'
like "another method" '^40[15]$' "$status"

if [ -n "${EASEL_EMAIL-}" ] && [ -n "${EASEL_PASSWORD_FILE-}" ]; then
	echo "# a session"
	log_in "$EASEL_EMAIL" "$EASEL_PASSWORD_FILE"
	is "a login" 200 "$status"
	token=$(json_get token)
	like "a token" '^sk-easel-session-[A-Za-z0-9_-]{43}$' "$token"
	is "a Bearer token" Bearer "$(json_get token_type)"
	is "it is not to be kept on the way" no-store "$(header cache-control)"
	(umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$token" >"$tmp/session")
	open_call GET /login --config "$tmp/session"
	is "the login test knows it" session "$(json_get kind)"
	for path in /v1/models /models; do
		open_call GET $path --config "$tmp/session"
		is "GET $path with it" 200 "$status"
	done
	log_in "$EASEL_EMAIL" "$tmp/wrong"
	is_error "the same user, a wrong password" 401 invalid_credentials
	open_call DELETE /login --config "$tmp/session"
	is "a logout" 200 "$status"
	tries=0
	while open_call GET /v1/models --config "$tmp/session" && [ "$status" = 200 ] && [ $tries -lt 20 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	is_error "it is over within a second or two" 401 invalid_api_key
	is "and says so" session_ended "$(json_get cause)"
fi

done_testing
