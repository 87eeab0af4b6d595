#!/bin/sh
# test-limits.sh - what a key may ask for: x-ratelimit-* headers, 429, Retry-After
#
# Buys nothing: a request without a prompt is refused, but counted.  It uses up the key's requests of
# a minute, so give it a key that nobody else needs just now.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

path=/v1/images/generations
most=3000 # a larger limit is not used up

duration='^([0-9]+h)?([0-9]+m)?[0-9]+s$|^[0-9]+ms$'
number='^[0-9]+$'

# left NAME - x-ratelimit-remaining-requests of the last answer, a number whatever was answered
left() {
	left_found=$(header x-ratelimit-remaining-requests)
	like "$1: how many are left" "$number" "$left_found"
	case $left_found in '' | *[!0-9]*) left_found=0 ;; esac
}

# let_in NAME - the last answer was about the request, not about its number
let_in() { is_error "$1" 400 missing_required_parameter prompt; }

echo "# the headers"
post $path '{}'
limit=$(header x-ratelimit-limit-requests)
if [ -z "$limit" ]; then
	let_in "without a limit"
	is "without a limit: nothing is left to say" "" "$(header x-ratelimit-remaining-requests)"
	skip "requests a minute" "requests_per_minute = 0 here"
else
	let_in "the first"
	like "the limit is a number" "$number" "$limit"
	left "the first"
	first=$left_found
	like "the first: until all are back" "$duration" "$(header x-ratelimit-reset-requests)"
	[ "$first" -lt "$limit" ] && counted=yes || counted=no
	is "the first: it is counted" yes "$counted"
	post $path '{"prompt":"x","model":"no-such-model-anywhere"}'
	is_error "the second" 404 model_not_found model
	left "the second"
	# what is used comes back all the time
	[ "$left_found" -le "$first" ] || [ "$first" -ge $((limit - 60)) ] && counted=yes || counted=no
	is "the second: it is counted, too" yes "$counted"
fi

echo "# what is not limited"
call GET /v1/models
is "reading: status 200" 200 "$status"
is "reading: nothing is counted" "" "$(header x-ratelimit-limit-requests)"
open_call POST $path --header 'Content-Type: application/json' --data '{}'
is_error "without a key" 401 missing_bearer_token
is "without a key: nobody's is counted" "" "$(header x-ratelimit-limit-requests)"
call GET $path
is_error "the wrong method" 405 method_not_allowed
is "the wrong method: nothing is counted" "" "$(header x-ratelimit-limit-requests)"

# all_at_once COUNT - so many requests, faster than they come back; their statuses, one a line
all_at_once() {
	curl --silent --parallel --parallel-max 8 --config "$tmp/auth" --max-time 30 --header 'Content-Type: application/json' \
		--data '{}' --output /dev/null --write-out '%{http_code}\n' "$BASE_URL$path?[1-$1]"
}

count() { grep -cx "$1" "$tmp/statuses"; }

if [ -n "$limit" ] && [ "$limit" -le $most ]; then
	echo "# using them up"
	: >"$tmp/statuses"
	for _ in 1 2 3 4 5 6; do
		all_at_once $((limit / 4 + 10)) >>"$tmp/statuses"
	done
	isnt "at last one is refused" 0 "$(count 429)"
	is "the others were let in" "" "$(grep -vx -e 429 -e 400 "$tmp/statuses" | sort -u)"
	[ "$(count 400)" -ge "$left_found" ] && enough=yes || enough=no
	is "as many were let in as were left" yes "$enough"
	# One more may have come back since: then it takes another.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		all_at_once 30 >/dev/null
		post $path '{}'
		[ "$status" = 400 ] || break
	done
	is_error "one more" 429 rate_limited
	like "one more: the message names the limit" "requests_per_minute = $limit" "$(json_get message)"
	is "one more: whose move it is" client "$(json_get party)"
	is "one more: the limit" "$limit" "$(header x-ratelimit-limit-requests)"
	is "one more: none is left" 0 "$(header x-ratelimit-remaining-requests)"
	like "one more: until all are back" "$duration" "$(header x-ratelimit-reset-requests)"
	like "one more: Retry-After" '^[1-9][0-9]*$' "$(header retry-after)"
	like "one more: retry-after-ms" '^[1-9][0-9]*$' "$(header retry-after-ms)"
	isnt "one more: an SDK may try again" false "$(header x-should-retry)"
	wait_s=$(header retry-after)
	call GET /v1/models
	is "reading still works" 200 "$status"

	echo "# waiting as long as it is told"
	sleep "${wait_s:-1}"
	post $path '{}'
	let_in "after Retry-After"
elif [ -n "$limit" ]; then
	skip "using them up" "the limit of $limit is above $most"
fi

echo "# pictures a day"
post $path '{}'
if [ -z "$(header x-ratelimit-limit-images)" ]; then
	is "without a limit: nothing is left to say" "" "$(header x-ratelimit-remaining-images)"
	skip "pictures a day" "images_per_day = 0 here"
else
	like "the limit is a number" "$number" "$(header x-ratelimit-limit-images)"
	like "how many are left" "$number" "$(header x-ratelimit-remaining-images)"
	like "until midnight" "$duration" "$(header x-ratelimit-reset-images)"
fi

done_testing
