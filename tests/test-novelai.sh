#!/bin/sh
# test-novelai.sh [PROMPT] - pictures of a model that NovelAI makes
#
# Makes five pictures with MODEL, nai-diffusion-4-5-full unless it says otherwise, and asks for a few that
# must be refused before anything is bought.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-1girl, cat ears}")
MODEL=${MODEL:-nai-diffusion-4-5-full}
model=$(json_quote "$MODEL")
path=/v1/images/generations

# make MEMBERS - asks for the picture with these members added
make() { post $path "{\"model\":$model,\"prompt\":$prompt${1:+,$1}}"; }

# fetch URL - the stored picture, as anybody gets it
fetch() {
	curl --silent --show-error --max-time 30 --dump-header "$tmp/head" --output "$tmp/picture" \
		"$1" || echo "# curl failed for $1"
	: >"$tmp/body"
}

echo "# the model"
call GET "/v1/models/$MODEL"
is "the model is there: status 200" 200 "$status"
is "the model is there: its id" "$MODEL" "$(json_get id)"

echo "# a picture by its URL, with everything the service understands"
make '"response_format":"url","size":"832x1216","seed":7,"steps":23,"guidance":5,"sampler":"k_euler_ancestral","negative_prompt":"lowres"'
is "url: status 200" 200 "$status"
is "url: it is this model" "$MODEL" "$(header x-easel-model)"
like "url: server-timing is the ledger" 'provider;dur=[0-9.]+' "$(header server-timing)"
unlike "url: what it understands is not in the receipt" \
	'(^|[; ])(size|seed|steps|guidance|sampler|negative_prompt)=' "$(header x-easel-params)"
url=$(json_get url)
like "url: it is ours, not the provider's" '^https?://[^/]+/files/[0-9a-z]{26}\.(png|jpg|webp)$' "$url"
fetch "$url"
isnt "url: what lies there is a picture" "not a picture" "$(picture_type "$tmp/picture")"

echo "# a picture in base64"
make '"response_format":"b64_json"'
is "b64_json: status 200" 200 "$status"
json_get b64_json | base64 -d >"$tmp/picture" 2>/dev/null
isnt "b64_json: it is a picture" "not a picture" "$(picture_type "$tmp/picture")"

echo "# two pictures, and the receipt"
make '"response_format":"url","n":2,"style":"vivid","user":"tester","sampler":"euler_a","guidance":11,"size":"500x800"'
is "n=2: status 200" 200 "$status"
is "n=2: two different pictures" 2 "$(json_all url | sort -u | grep -c .)"
receipt=$(header x-easel-params)
for said in style=dropped user=dropped 'n=2 requests' 'size=512x832' 'guidance→scale=5.5' \
	'sampler=k_euler_ancestral'; do
	like "receipt: $said" "(^|; )$said(;|\$)" "$receipt"
done

echo "# quality tags, on request"
make '"response_format":"url","quality":"high"'
is "quality: status 200" 200 "$status"
like "quality: the receipt says so" '(^|; )quality→quality tags(;|$)' "$(header x-easel-params)"

echo "# refused before anything is bought"
make '"sampler":"plms"'
is_error "an unknown sampler" 400 invalid_value sampler
make '"aspect_ratio":"wide"'
is_error "an unknown aspect ratio" 400 invalid_value aspect_ratio
make '"n":11'
is_error "n above ten" 400 integer_above_max_value n
make '"strength":2'
is_error "a strength above one" 400 invalid_value strength

done_testing
