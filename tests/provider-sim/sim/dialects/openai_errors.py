"""The errors of OpenAI and of its relays, in their own words: what status=NNN and code=NAME of a fault mean."""

INVALID = "invalid_request_error"

# name: (status, type, code, param, message).  The first row of a status is what status=NNN means.
ERRORS = {
    "bad_request": (400, INVALID, None, None, "Your request could not be processed."),
    "billing_hard_limit_reached": (400, "image_generation_user_error", "billing_hard_limit_reached", None,
                                   "Billing hard limit has been reached"),
    "moderation_blocked": (400, "image_generation_user_error", "moderation_blocked", None,
                           "Your request was rejected by the safety system. If you believe this is an error, contact "
                           "us at help.openai.com and include the request ID {id}. safety_violations=[violence]."),
    "content_policy_violation": (400, INVALID, "content_policy_violation", None,
                                 "Your request was rejected as a result of our safety system. Your prompt may contain "
                                 "text that is not allowed by our safety system."),
    "invalid_size": (400, INVALID, "invalid_value", "size",
                     "Invalid value: '1254x836'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and "
                     "'auto'."),
    "unknown_parameter": (400, INVALID, "unknown_parameter", "response_format",
                          "Unknown parameter: 'response_format'."),
    "invalid_api_key": (401, INVALID, "invalid_api_key", None,
                        "Incorrect API key provided: {key}. You can find your API key at "
                        "https://platform.openai.com/account/api-keys."),
    "no_api_key": (401, INVALID, None, None,
                   "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                   "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) "
                   "if you're accessing the API from your browser and are prompted for a username and password. You "
                   "can obtain an API key from https://platform.openai.com/account/api-keys."),
    "payment_required": (402, "billing_error", "payment_required", None, "Your balance is not sufficient."),
    "org_not_verified": (403, INVALID, None, None,
                         "Your organization must be verified to use the model `{model}`. Please go to: "
                         "https://platform.openai.com/settings/organization/general and click on Verify Organization. "
                         "If you just verified, it can take up to 15 minutes for access to propagate."),
    "unsupported_country_region_territory": (403, "request_forbidden", "unsupported_country_region_territory", None,
                                             "Country, region, or territory not supported"),
    "model_not_found": (404, INVALID, "model_not_found", None,
                        "The model `{model}` does not exist or you do not have access to it."),
    "request_timeout": (408, "timeout_error", "request_timeout", None, "Request timed out."),
    "conflict": (409, INVALID, "conflict", None, "The request conflicts with another one; please try again."),
    "request_too_large": (413, INVALID, "request_too_large", None, "Request body is too large."),
    "unprocessable": (422, INVALID, "unprocessable_entity", None, "Unprocessable entity."),
    "rate_limit_exceeded": (429, "requests", "rate_limit_exceeded", None,
                            "Rate limit reached for {model} in organization org-sim on images per min: Limit 5, Used "
                            "5, Requested 1. Please try again in 12s."),
    "slow_down": (429, "rate_limit_error", "slow_down", None, "Please slow down."),
    "insufficient_quota": (429, "insufficient_quota", "insufficient_quota", None,
                           "You exceeded your current quota, please check your plan and billing details. For more "
                           "information on this error, read the docs: "
                           "https://platform.openai.com/docs/guides/error-codes/api-errors."),
    "credit_balance_exhausted": (429, "insufficient_quota", "credit_balance_exhausted", None,
                                 "Your credit balance is exhausted."),
    "project_spend_limit_exceeded": (429, "insufficient_quota", "project_spend_limit_exceeded", None,
                                     "This project has reached its spend limit."),
    "unavailable_for_legal_reasons": (451, "content_moderation", "content_blocked", None,
                                      "The prompt or the picture was blocked by content moderation."),
    "server_error": (500, "server_error", "server_error", None,
                     "The server had an error while processing your request. Sorry about that! You can retry your "
                     "request, or contact us through our help center at help.openai.com if the error persists. "
                     "(Please include the request ID {id} in your message.)"),
    "channel_failed": (500, "new_api_error", "channel:image_generation_failed", "",
                       "image generation failed"),
    "server_is_overloaded": (503, "service_unavailable_error", "server_is_overloaded", None,
                             "Our servers are currently overloaded. Please try again later."),
    "no_available_channel": (503, "new_api_error", "model_not_found", "",
                             "No available channel for model {model} under group default"),
    "cf_gateway_timeout": (524, "cf_gateway_timeout", 524, None, "Gateway timeout."),
}
HTML_BY_STATUS = {502: "html502", 504: "html504"}
