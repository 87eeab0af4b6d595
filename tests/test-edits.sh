#!/bin/sh
# test-edits.sh [PROMPT] - pictures from pictures, through POST /v1/images/edits
#
# Makes two pictures with the default image model, or with MODEL, and edits them eight times with EDIT_MODEL
# (the same unless it is set); the rest must be refused before anything is bought.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

prompt=${1:-一只可爱的熊猫}
EDIT_MODEL=${EDIT_MODEL:-${MODEL:-}}
path=/v1/images/edits

# form ARGUMENTS - curl's --form, with the model and the prompt
form() {
	if [ -n "$EDIT_MODEL" ]; then set -- --form "model=$EDIT_MODEL" "$@"; fi
	call POST $path --form "prompt=$prompt" "$@"
}

echo "# pictures to start from"
for format in png jpeg; do
	post /v1/images/generations "{${MODEL:+\"model\":$(json_quote "$MODEL"),}\"prompt\":$(json_quote "$prompt"),
		\"response_format\":\"url\",\"output_format\":\"$format\"}"
	is "a $format: status 200" 200 "$status"
	fetch "$(json_get url)" "$tmp/start.$format"
	is "a $format: it is one" "$format" "$(picture_type "$tmp/start.$format")"
done

# edited NAME - the answer holds a picture, and not one of those it was made from
edited() {
	is "$1: status 200" 200 "$status"
	like "$1: it is JSON" '^application/json' "$(header content-type)"
	like "$1: x-request-id" '^req_[0-9a-z]{26}$' "$(header x-request-id)"
	like "$1: no picture and no prompt was dropped" '^([^i]|i[^m])*$' "$(header x-easel-params | sed 's/response_format//')"
	like "$1: a URL" '^https?://[^/]+/files/[0-9a-z]{26}\.(png|jpg|webp)$' "$(json_get url)"
	fetch "$(json_get url)" "$tmp/edited"
	isnt "$1: what lies there is a picture" "not a picture" "$(picture_type "$tmp/edited")"
	cmp -s "$tmp/edited" "$tmp/start.png"
	is "$1: it is a new one" 1 $?
}

echo "# multipart/form-data"
form --form "image=@$tmp/start.png" --form response_format=url
edited "a PNG"
form --form response_format=url --form "image=@$tmp/start.jpeg;type=application/octet-stream"
edited "a JPEG that is called nothing"
form --form "image[]=@$tmp/start.png;filename=x" --form response_format=url
edited "an array of one"
form --form "image=@$tmp/start.png" --form response_format=url --form n=2
is "n=2: status 200" 200 "$status"
is "n=2: two different pictures" 2 "$(json_all url | sort -u | grep -c .)"
form --form "image=@$tmp/start.png" --form response_format=b64_json
is "b64_json: status 200" 200 "$status"
json_get b64_json | base64 -d >"$tmp/edited" 2>/dev/null
isnt "b64_json: it is a picture" "not a picture" "$(picture_type "$tmp/edited")"
form --form "image=@$tmp/start.png" --form response_format=url --form output_format=webp
fetch "$(json_get url)" "$tmp/edited"
is "output_format: the bytes say so" webp "$(picture_type "$tmp/edited")"

echo "# JSON"
model=${EDIT_MODEL:+"\"model\":$(json_quote "$EDIT_MODEL"),"}
# json MEMBERS
json() { post $path "{${model}\"prompt\":$(json_quote "$prompt"),\"response_format\":\"url\"${1:+,$1}}"; }
url="data:image/jpeg;base64,$(base64 <"$tmp/start.jpeg" | tr -d '\n')"
json "\"images\":[{\"image_url\":\"$url\"}]"
edited "images[]"
json "\"image\":\"$url\""
edited "image"

echo "# refused"
printf 'GIF89a not a picture that is taken' >"$tmp/gif"
head -c 200 "$tmp/start.png" >"$tmp/half"
form --form "image=@$tmp/gif;type=image/png"
is_error "a GIF that is called a PNG" 400 invalid_value image
form --form "image=@$tmp/half;type=image/png"
is_error "half a PNG" 400 invalid_value image
form
is_error "no picture" 400 missing_required_parameter image
form --form "image=@$tmp/start.png" --form n=two
is_error "n is a word" 400 invalid_type n
form --form "image=@$tmp/start.png" --form n=11
is_error "n above ten" 400 integer_above_max_value n
form --form "image=@$tmp/start.png" --form "mask=@$tmp/start.jpeg"
is "a mask that has no transparency: status 400" 400 "$status"
is "a mask that has no transparency: param" mask "$(json_get param)"
# shellcheck disable=SC2046 # seventeen arguments
form $(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do echo "--form image[]=@$tmp/start.jpeg;filename=$i"; done)
is_error "seventeen pictures" 400 invalid_value image
call POST $path --form "image=@$tmp/start.png"
is_error "no prompt" 400 missing_required_parameter prompt
for inside in http://127.0.0.1/a.png http://169.254.169.254/latest/ 'http://[::1]/' http://2130706433/ file:///etc/passwd; do
	json "\"images\":[{\"image_url\":\"$inside\"}]"
	is_error "$inside" 400 url_not_allowed 'images[0].image_url'
done
json '"images":[{"file_id":"file-abc123"}]'
is_error "a file_id" 400 unsupported_parameter 'images[0].file_id'
json
is_error "JSON without a picture" 400 missing_required_parameter images
call POST $path --header 'Content-Type: multipart/form-data' --data-binary "@$tmp/half"
is_error "no boundary" 400 invalid_multipart
call POST $path --header 'Content-Type: multipart/form-data; boundary=x' --data-binary "@$tmp/half"
is_error "no form" 400 invalid_multipart
call POST $path --header 'Content-Type: image/png' --data-binary "@$tmp/start.png"
is_error "a bare picture" 415 unsupported_media_type

done_testing
