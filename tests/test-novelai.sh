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

model_is_there "$MODEL"

echo "# a picture by its URL, with everything the service understands"
make '"response_format":"url","size":"832x1216","seed":7,"steps":23,"guidance":5,"sampler":"k_euler_ancestral","negative_prompt":"lowres"'
is "url: status 200" 200 "$status"
is "url: it is this model" "$MODEL" "$(header x-easel-model)"
like "url: server-timing is the ledger" 'provider;dur=[0-9.]+' "$(header server-timing)"
unlike "url: what it understands is not in the receipt" \
	'(^|[; ])(size|seed|steps|guidance|sampler|negative_prompt)=' "$(header x-easel-params)"
url_is_ours url "$(json_get url)"

in_base64

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
