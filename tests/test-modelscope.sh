#!/bin/sh
# test-modelscope.sh [PROMPT] - pictures of a model that ModelScope makes
#
# Makes six pictures with MODEL, Qwen/Qwen-Image unless it says otherwise, and asks for a few that
# must be refused before anything is bought.  See lib.sh for the rest.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=$(json_quote "${1:-一只可爱的熊猫}")
MODEL=${MODEL:-Qwen/Qwen-Image}
model=$(json_quote "$MODEL")
path=/v1/images/generations

# make MEMBERS - asks for the picture with these members added
make() { post $path "{\"model\":$model,\"prompt\":$prompt${1:+,$1}}"; }

# text COUNT - so many characters
text() { head -c "$1" /dev/zero | tr '\0' x; }

model_is_there "$MODEL"
call GET "/v1/models/$(printf '%s' "$MODEL" | sed 's:/:%2F:g')"
is "the model is there, its slash encoded" 200 "$status"

echo "# a picture by its URL"
make '"response_format":"url","size":"512x768","seed":7,"steps":20,"guidance":4,"negative_prompt":"lowres"'
is "url: status 200" 200 "$status"
is "url: it is this model" "$MODEL" "$(header x-easel-model)"
is "url: by a task, which is polled" async "$(header x-easel-mode)"
like "url: server-timing is the ledger" 'provider;dur=[0-9.]+' "$(header server-timing)"
unlike "url: what it understands is not in the receipt" '(^|[; ])(size|seed|steps|guidance|negative_prompt)=' \
	"$(header x-easel-params)"
is "url: no picture in the answer" "" "$(json_get b64_json)"
url_is_ours url "$(json_get url)"

in_base64

echo "# two pictures, and the receipt"
make '"response_format":"url","n":2,"quality":"high","style":"vivid","user":"tester"'
is "n=2: status 200" 200 "$status"
is "n=2: two different pictures" 2 "$(json_all url | sort -u | grep -c .)"
receipt=$(header x-easel-params)
for name in quality style user; do
	like "receipt: $name is dropped" "(^|; )$name=dropped(;|\$)" "$receipt"
done
like "receipt: n is two tasks" '(^|; )n=2 tasks(;|$)' "$receipt"

echo "# a size beyond the model's range"
make '"response_format":"url","size":"8192x4096"'
is "size: status 200" 200 "$status"
like "size: the receipt says which it became, at the same ratio" '(^|; )size=(1664x832|1024x512|2048x1024)(;|$)' \
	"$(header x-easel-params)"

echo "# refused before anything is bought"
post $path "{\"model\":$model,\"prompt\":\"$(text 2000)\"}"
is_error "a prompt of 2,000 characters" 400 string_above_max_length prompt
make "\"negative_prompt\":\"$(text 2000)\""
is_error "a negative_prompt of 2,000 characters" 400 string_above_max_length negative_prompt
make '"n":11'
is_error "n above ten" 400 integer_above_max_value n
make '"size":"1024*1024"'
is_error "a size with a star" 400 invalid_value size
make '"seed":-1'
is_error "a seed below zero" 400 integer_below_min_value seed

echo "# a deadline that is too short for any task"
call POST $path --header 'Content-Type: application/json' --header 'x-easel-deadline: 300ms' \
	--data-binary "{\"model\":$model,\"prompt\":$prompt}"
is_error "300 ms" 504 deadline_exceeded
is "300 ms: a retry would buy it again" false "$(header x-should-retry)"

done_testing
