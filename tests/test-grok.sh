#!/bin/sh
# test-grok.sh [PROMPT] - pictures of a model that Grok makes
#
# Makes nine pictures with MODEL, grok-imagine-1.0 unless it says otherwise, by whichever door the
# operator has chosen, and asks for a few that must be refused before anything is bought.  MODE is the
# door that the answer must name: ws (the default) or http.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-一只可爱的熊猫}")
MODEL=${MODEL:-grok-imagine-1.0}
MODE=${MODE:-ws}
model=$(json_quote "$MODEL")
path=/v1/images/generations

# make MEMBERS - asks for the picture with these members added
make() { post $path "{\"model\":$model,\"prompt\":$prompt${1:+,$1}}"; }

model_is_there "$MODEL"

echo "# a picture by its URL"
make '"response_format":"url","size":"1024x1536"'
is "url: status 200" 200 "$status"
is "url: it is this model" "$MODEL" "$(header x-easel-model)"
is "url: by the door that was chosen" "$MODE" "$(header x-easel-mode)"
is "url: at the first attempt" 1 "$(header x-easel-attempts)"
like "url: server-timing is the ledger" 'provider;dur=[0-9.]+' "$(header server-timing)"
if [ "$MODE" = ws ]; then
	like "url: the receipt says what became of the size" '(^|; )size.*aspect_ratio=2:3' "$(header x-easel-params)"
fi
is "url: no picture in the answer" "" "$(json_get b64_json)"
url_is_ours url "$(json_get url)"

in_base64

echo "# six pictures, more than some rounds make, and the receipt"
make '"response_format":"url","n":6,"style":"vivid","seed":7'
is "n=6: status 200" 200 "$status"
is "n=6: six different pictures" 6 "$(json_all url | sort -u | grep -c .)"
for name in style seed; do
	like "receipt: $name is dropped" "(^|; )$name=dropped(;|\$)" "$(header x-easel-params)"
done

echo "# in another format than the provider's"
make '"response_format":"url","output_format":"webp"'
is "webp: status 200" 200 "$status"
fetch "$(json_get url)"
is "webp: it is one" webp "$(picture_type "$tmp/picture")"

echo "# refused before anything is bought"
make '"n":11'
is_error "n above ten" 400 integer_above_max_value n
make '"size":"1024*1024"'
is_error "a size with a star" 400 invalid_value size
if [ "$MODE" = ws ]; then
	make '"aspect_ratio":"wide"'
	is_error "an aspect ratio that is none" 400 invalid_value aspect_ratio
fi

echo "# a deadline that is too short for nearly any picture"
call POST $path --header 'Content-Type: application/json' --header 'x-easel-deadline: 1ms' \
	--data-binary "{\"model\":$model,\"prompt\":$prompt}"
if [ "$status" = 200 ]; then # from a provider beside us it may come in time all the same
	url_is_ours "1 ms" "$(json_get url)"
else
	is_error "1 ms" 504 deadline_exceeded
fi

done_testing
