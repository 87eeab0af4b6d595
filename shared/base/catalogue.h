#ifndef EASEL_BASE_CATALOGUE_H
#define EASEL_BASE_CATALOGUE_H
/*
 * catalogue - every error Easel can answer with, once
 *
 * A row: kind, HTTP status, OpenAI's type, code, party, may an SDK retry, message (en, zh), hint (en,
 * zh), the command that mends it or NULL.  A new error is a new row here and a test that provokes it
 * (tests/system/test_catalogue.py fails for a row without one).
 *
 * Places in the texts: {param} {expected} {found} {about} {provider} {status} {said}.  {said} is the
 * provider's own sentence in quotes, or nothing.
 */

/* clang-format off */
/* The hint of any of them when the work goes on as the task {task_id}. */
#define ERR_TASK_HINT_EN \
	"The work goes on and its pictures are kept: GET /v1/tasks/{task_id} until it has ended. Asking again would buy again."
#define ERR_TASK_HINT_ZH \
	"任务仍在继续，图片会被保存：请用 GET /v1/tasks/{task_id} 查询直到结束。重新提交会再次计费。"

#define ERR_CATALOGUE(X) \
/* ---- the caller: credentials ---- */ \
X(ERR_BEARER, 401, "invalid_request_error", "missing_bearer_token", PARTY_CLIENT, 0, \
  "Missing bearer token: {cause}", "缺少 Bearer 令牌：{cause}", \
  "{cause_hint}", "{cause_hint}", NULL) \
X(ERR_KEY, 401, "invalid_request_error", "invalid_api_key", PARTY_CLIENT, 0, \
  "Invalid API key: {cause}", "API 密钥无效：{cause}", \
  "{cause_hint}", "{cause_hint}", NULL) \
X(ERR_SCOPE, 403, "invalid_request_error", "insufficient_scope", PARTY_CLIENT, 0, \
  "This key may not do that: the route needs the scope '{expected}', the key has '{found}'.", \
  "此密钥无权执行该操作：该路由需要权限“{expected}”，而密钥的权限是“{found}”。", \
  "Use a key with that scope, or ask the operator for one.", \
  "请使用具有该权限的密钥，或向管理员申请。", "easel keys create --name NAME --scope SCOPES") \
X(ERR_LOGIN, 401, "invalid_request_error", "invalid_credentials", PARTY_CLIENT, 0, \
  "The e-mail address or the password is wrong.", "邮箱地址或密码不正确。", \
  "Check both; the operator makes users with 'easel users add' and sets passwords with 'easel users passwd'.", \
  "请检查邮箱和密码；管理员可用“easel users add”创建用户，用“easel users passwd”设置密码。", NULL) \
X(ERR_NO_SESSION, 400, "invalid_request_error", "not_a_session", PARTY_CLIENT, 0, \
  "Only a login session can be ended here; this request came with {found}.", \
  "此处只能结束登录会话；本次请求使用的是{found}。", \
  "Send the token of POST /login. The operator takes an API key away with 'easel keys revoke'.", \
  "请使用 POST /login 返回的令牌。API 密钥由管理员用“easel keys revoke”吊销。", NULL) \
X(ERR_UP_LOGIN, 401, "upstream_error", "upstream_login_refused", PARTY_CLIENT, 0, \
  "{provider} refused the login with your e-mail address and password (HTTP {status}).{about}", \
  "{provider} 拒绝了使用您的邮箱和密码的登录（HTTP {status}）。{about}", \
  "Check both on the provider's own site; an account made through another service has no password: use a token.", \
  "请在供应商网站上核对；通过第三方账号注册的账户没有密码，请改用令牌。", NULL) \
/* ---- the caller: the request ---- */ \
X(ERR_JSON, 400, "invalid_request_error", "invalid_json", PARTY_CLIENT, 0, \
  "The body is not valid JSON: {about}", "请求体不是合法的 JSON：{about}", \
  "Send one JSON object, UTF-8, with Content-Type: application/json.", \
  "请发送一个 UTF-8 编码的 JSON 对象，并设置 Content-Type: application/json。", NULL) \
X(ERR_MULTIPART, 400, "invalid_request_error", "invalid_multipart", PARTY_CLIENT, 0, \
  "The multipart body cannot be read: {about}.", "无法读取 multipart 请求体：{about}。", \
  "Let your HTTP library set Content-Type: multipart/form-data with its boundary; with curl, use --form.", \
  "请让 HTTP 库自行设置带 boundary 的 Content-Type: multipart/form-data；使用 curl 时请用 --form。", NULL) \
X(ERR_DUPLICATE_KEY, 400, "invalid_request_error", "duplicate_key", PARTY_CLIENT, 0, \
  "The key '{param}' stands twice in the body.", "请求体中的键“{param}”重复出现。", \
  "Send each key once.", "每个键只能出现一次。", NULL) \
X(ERR_MISSING, 400, "invalid_request_error", "missing_required_parameter", PARTY_CLIENT, 0, \
  "Missing required parameter: '{param}'.", "缺少必需的参数：“{param}”。", \
  "Add '{param}': {expected}.", "请添加“{param}”：{expected}。", NULL) \
X(ERR_TYPE, 400, "invalid_request_error", "invalid_type", PARTY_CLIENT, 0, \
  "Invalid type for '{param}': expected {expected}, but got {found} instead.", \
  "“{param}”的类型无效：应为 {expected}，实际为 {found}。", \
  "Send '{param}' as {expected}.", "请将“{param}”改为 {expected}。", NULL) \
X(ERR_VALUE, 400, "invalid_request_error", "invalid_value", PARTY_CLIENT, 0, \
  "Invalid value for '{param}': expected {expected}, but got {found} instead.", \
  "“{param}”的值无效：应为 {expected}，实际为 {found}。", \
  "Send '{param}' as {expected}.", "请将“{param}”改为 {expected}。", NULL) \
X(ERR_ABOVE_MAX, 400, "invalid_request_error", "integer_above_max_value", PARTY_CLIENT, 0, \
  "Invalid '{param}': integer above maximum value. Expected {expected}, but got {found} instead.", \
  "“{param}”无效：整数超过最大值。应为 {expected}，实际为 {found}。", \
  "Send '{param}' as {expected}.", "请将“{param}”改为 {expected}。", NULL) \
X(ERR_BELOW_MIN, 400, "invalid_request_error", "integer_below_min_value", PARTY_CLIENT, 0, \
  "Invalid '{param}': integer below minimum value. Expected {expected}, but got {found} instead.", \
  "“{param}”无效：整数低于最小值。应为 {expected}，实际为 {found}。", \
  "Send '{param}' as {expected}.", "请将“{param}”改为 {expected}。", NULL) \
X(ERR_TOO_LONG, 400, "invalid_request_error", "string_above_max_length", PARTY_CLIENT, 0, \
  "Invalid '{param}': string too long. Expected {expected}, but got {found} instead.", \
  "“{param}”无效：字符串过长。应为 {expected}，实际为 {found}。", \
  "Shorten '{param}'.", "请缩短“{param}”。", NULL) \
X(ERR_MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found", PARTY_CLIENT, 0, \
  "The model {found} does not exist here.{about}", "这里没有模型 {found}。{about}", \
  "GET /v1/models lists the models there are.", "可用 GET /v1/models 查看所有模型。", NULL) \
X(ERR_MODEL_NOT_IMAGE, 400, "invalid_request_error", "model_not_image", PARTY_CLIENT, 0, \
  "The model {found} is a chat model; this endpoint makes images. Image models here: {expected}.", \
  "模型 {found} 是聊天模型，而此接口用于生成图片。可用的图片模型：{expected}。", \
  "Send an image model, or send this model to /v1/chat/completions.", \
  "请改用图片模型，或将该模型发送到 /v1/chat/completions。", NULL) \
X(ERR_ENDPOINT, 404, "invalid_request_error", "endpoint_not_found", PARTY_CLIENT, 0, \
  "There is no such endpoint: {found}.{about}", "没有这个接口：{found}。{about}", \
  "{expected}", "{expected}", NULL) \
X(ERR_METHOD, 405, "invalid_request_error", "method_not_allowed", PARTY_CLIENT, 0, \
  "This endpoint takes {expected}, not {found}.", "此接口只接受 {expected}，不接受 {found}。", \
  "Send the request with {expected}.", "请使用 {expected} 发送请求。", NULL) \
X(ERR_MEDIA_TYPE, 415, "invalid_request_error", "unsupported_media_type", PARTY_CLIENT, 0, \
  "Unsupported Content-Type: expected {expected}, but got {found} instead.", \
  "不支持的 Content-Type：应为 {expected}，实际为 {found}。", \
  "Set the header Content-Type: {expected}.", "请设置请求头 Content-Type: {expected}。", NULL) \
X(ERR_BODY_TOO_LARGE, 413, "invalid_request_error", "body_too_large", PARTY_CLIENT, 0, \
  "The request body is too large: expected {expected}, but got {found}.", \
  "请求体过大：应为 {expected}，实际为 {found}。", \
  "Send less; the limit is the operator's.", "请减小请求体；上限由管理员设置。", NULL) \
X(ERR_BODY_INCOMPLETE, 400, "invalid_request_error", "body_incomplete", PARTY_CLIENT, 0, \
  "The request body ended early: expected {expected}, but got {found}.", \
  "请求体不完整：应为 {expected}，实际为 {found}。", \
  "Send as many bytes as Content-Length says.", "请发送 Content-Length 所示的字节数。", NULL) \
X(ERR_PATH, 400, "invalid_request_error", "bad_path", PARTY_CLIENT, 0, \
  "The path is refused: {about}.", "路径被拒绝：{about}。", \
  "Send the plain path, without dot segments, control characters or an encoded slash.", \
  "请使用普通路径，不含点段、控制字符或编码的斜杠。", NULL) \
X(ERR_BAD_REQUEST, 400, "invalid_request_error", "bad_request", PARTY_CLIENT, 0, \
  "The request cannot be understood: {about}.", "无法理解该请求：{about}。", \
  "Check the request against the HTTP standard.", "请检查请求是否符合 HTTP 标准。", NULL) \
X(ERR_HEADERS_TOO_LARGE, 431, "invalid_request_error", "headers_too_large", PARTY_CLIENT, 0, \
  "The request's headers are too large.", "请求头过大。", \
  "Send fewer or shorter headers: 8 KiB at most.", "请减少或缩短请求头：最多 8 KiB。", NULL) \
X(ERR_URL_NOT_ALLOWED, 400, "invalid_request_error", "url_not_allowed", PARTY_CLIENT, 0, \
  "The URL in '{param}' may not be fetched: {about}.", "不允许访问“{param}”中的 URL：{about}。", \
  "Use a public https URL, or send the picture itself.", "请使用公开的 https URL，或直接上传图片。", NULL) \
X(ERR_URL_FETCH, 400, "invalid_request_error", "url_fetch_failed", PARTY_CLIENT, 0, \
  "The picture in '{param}' could not be fetched from its URL: {about}.", \
  "无法从“{param}”中的 URL 取得图片：{about}。", \
  "Check the URL, or send the picture itself.", "请检查该 URL，或直接上传图片。", NULL) \
X(ERR_NOT_FOUND, 404, "invalid_request_error", "not_found", PARTY_CLIENT, 0, \
  "There is no {about} with that id.", "没有该编号对应的内容（{about}）。", \
  "Check the id; other keys' things are not shown.", "请检查编号；其他密钥的内容不可见。", NULL) \
X(ERR_EXPIRED, 410, "invalid_request_error", "expired", PARTY_CLIENT, 0, \
  "This {about} has expired and was removed.", "该内容（{about}）已过期并被删除。", \
  "Make it again.", "请重新生成。", NULL) \
X(ERR_TASK_TERMINAL, 409, "invalid_request_error", "task_terminal", PARTY_CLIENT, 0, \
  "The task has ended already: {found}.", "任务已经结束：{found}。", \
  "Read its result with GET.", "请用 GET 读取结果。", NULL) \
X(ERR_IDEMPOTENCY, 422, "invalid_request_error", "idempotency_mismatch", PARTY_CLIENT, 0, \
  "This Idempotency-Key was used with another body.", "该 Idempotency-Key 已用于另一个请求体。", \
  "Use a new key for a new request.", "新的请求请使用新的键。", NULL) \
X(ERR_RATE_LIMITED, 429, "rate_limit_error", "rate_limited", PARTY_CLIENT, 1, \
  "Too many requests: {about}.", "请求过于频繁：{about}。", \
  "Wait as long as Retry-After says.", "请按 Retry-After 等待后重试。", NULL) \
X(ERR_UNSUPPORTED, 400, "invalid_request_error", "unsupported_parameter", PARTY_CLIENT, 0, \
  "'{param}' cannot be honoured: {about}.", "无法满足参数“{param}”：{about}。", \
  "Leave '{param}' out, or choose another model.", "请去掉“{param}”或更换模型。", NULL) \
/* ---- Easel itself ---- */ \
X(ERR_OVERLOADED, 503, "server_error", "overloaded", PARTY_GATEWAY, 1, \
  "Easel has all hands full: {about}.", "Easel 已满负荷：{about}。", \
  "Wait as long as Retry-After says, then try again.", "请按 Retry-After 等待后重试。", NULL) \
X(ERR_STOPPING, 503, "server_error", "shutting_down", PARTY_GATEWAY, 1, \
  "Easel is being stopped or started anew, and cannot wait for the answer any longer.", \
  "Easel 正在停止或重启，无法继续等待结果。", \
  "Try again as soon as Retry-After says.", "请按 Retry-After 等待后重试。", NULL) \
X(ERR_HANDLER_DOWN, 503, "server_error", "handler_down", PARTY_WEB_SERVER, 1, \
  "The program behind this path does not answer.", "该路径对应的程序没有响应。", \
  "Try again in a second; the operator finds the reason in Easel's log.", \
  "请稍后重试；管理员可在 Easel 日志中查看原因。", "easel config check") \
X(ERR_HANDLER_CRASHED, 500, "server_error", "handler_crashed", PARTY_GATEWAY, 0, \
  "The program that served this request ended before it answered. If the request had reached a " \
  "provider, it may have been billed.", \
  "处理该请求的程序在应答之前终止。如果请求已到达供应商，可能已经计费。", \
  "Report the request id to the operator.", "请将 request id 告知管理员。", NULL) \
X(ERR_HANDLER_TIMEOUT, 504, "server_error", "handler_timeout", PARTY_WEB_SERVER, 0, \
  "The web server gave up waiting for the program behind this path.", \
  "Web 服务器等待该路径对应的程序超时。", \
  "Report the request id to the operator: a web-server timeout is shorter than Easel's deadline.", \
  "请将 request id 告知管理员：Web 服务器的超时短于 Easel 的期限。", "easel config check") \
X(ERR_STORAGE_FULL, 507, "server_error", "storage_full", PARTY_GATEWAY, 0, \
  "There is no room to store a picture: {about}.", "没有存放图片的空间：{about}。", \
  "The operator frees space or lowers [files] max_bytes.", "请管理员清理空间或调整 [files] max_bytes。", \
  "easel files prune") \
X(ERR_STORE, 503, "server_error", "store_unavailable", PARTY_GATEWAY, 1, \
  "The store does not answer.", "存储不可用。", \
  "Try again; the operator finds the reason in Easel's log.", "请重试；管理员可在 Easel 日志中查看原因。", \
  "easel db migrate") \
X(ERR_SCHEMA_MISSING, 503, "server_error", "schema_missing", PARTY_GATEWAY_CONFIG, 0, \
  "The store lacks the table '{about}'.", "存储中缺少表“{about}”。", \
  "Create it.", "请创建该表。", "easel db migrate") \
X(ERR_SCHEMA_TOO_NEW, 503, "server_error", "schema_too_new", PARTY_GATEWAY_CONFIG, 0, \
  "The store was written by a newer Easel: schema {found}, this program knows {expected}.", \
  "存储由更新版本的 Easel 写入：结构版本 {found}，本程序支持 {expected}。", \
  "Run the newer Easel.", "请使用更新版本的 Easel。", NULL) \
X(ERR_CONFIG, 500, "server_error", "config_invalid", PARTY_GATEWAY_CONFIG, 0, \
  "The configuration is not usable: {about}", "配置不可用：{about}", \
  "Mend the configuration.", "请修正配置。", "easel config check") \
X(ERR_INTERNAL, 500, "server_error", "internal_error", PARTY_GATEWAY, 0, \
  "Easel made a mistake of its own: {about}.", "Easel 内部出错：{about}。", \
  "Report the request id to the operator.", "请将 request id 告知管理员。", NULL) \
X(ERR_DEADLINE, 504, "server_error", "deadline_exceeded", PARTY_PROVIDER, 0, \
  "The request's deadline of {expected} passed while {about}.", \
  "请求的期限 {expected} 已到，当时正在{about}。", \
  "Allow more time, ask for less work, or create a task and fetch its result.", \
  "请延长期限、减少工作量，或改为创建任务后再取结果。", NULL) \
X(ERR_GONE, 499, "server_error", "client_closed_request", PARTY_CLIENT, 0, \
  "The client went away.", "客户端已断开。", "", "", NULL) \
X(ERR_IMAGES_INCOMPLETE, 502, "upstream_error", "images_incomplete", PARTY_PROVIDER, 0, \
  "Expected {expected} images, but {found} came.{about}", \
  "应有 {expected} 张图片，实际收到 {found} 张。{about}", \
  "error.images holds those that came.", "error.images 中是已收到的图片。", NULL) \
X(ERR_OUTCOME_UNKNOWN, 502, "server_error", "outcome_unknown", PARTY_GATEWAY, 0, \
  "Whether the provider made the picture cannot be known: {about}.", \
  "无法得知供应商是否已生成图片：{about}。", \
  "Look in the provider's console before asking again: it may have been billed.", \
  "再次请求之前请查看供应商后台：可能已经计费。", NULL) \
/* ---- the providers ---- */ \
X(ERR_UP_AUTH, 502, "upstream_error", "upstream_auth_failed", PARTY_PROVIDER_CREDENTIAL, 0, \
  "{provider} refused the gateway's credential (HTTP {status}).{about}{said}", \
  "{provider} 拒绝了网关的凭据（HTTP {status}）。{about}{said}", \
  "Your own key is fine. The operator must mend the provider's key.", \
  "您的密钥没有问题。请管理员更换供应商密钥。", "easel config show --origin") \
X(ERR_OWN_CREDENTIAL, 401, "invalid_request_error", "provider_credential_refused", PARTY_CLIENT, 0, \
  "{provider} refused the token, or the e-mail address and password, that came with the task (HTTP {status}).{said}", \
  "{provider} 拒绝了任务所附的令牌或邮箱和密码（HTTP {status}）。{said}", \
  "Copy the token again without spaces or line breaks, or log in anew; the account may be locked for a while.", \
  "请重新复制令牌（不要带空格或换行），或重新登录；账户也可能被暂时锁定。", NULL) \
X(ERR_UP_CHALLENGE, 502, "upstream_error", "upstream_challenge_page", PARTY_PROVIDER_POLICY, 0, \
  "{provider} answered HTTP {status} with a web page instead of JSON: its edge refused the " \
  "connection. That says nothing about the credential.", \
  "{provider} 以网页（HTTP {status}）而非 JSON 应答：其边缘节点拒绝了连接。这与凭据是否有效无关。", \
  "Check the provider's base_url and whether it may be reached from this address.", \
  "请检查该供应商的 base_url 以及本机地址是否允许访问。", "easel config show --origin") \
X(ERR_UP_QUOTA, 502, "upstream_error", "upstream_quota_exhausted", PARTY_PROVIDER_CREDENTIAL, 0, \
  "The account used at {provider} has no credit or quota left (HTTP {status}).{about}{said}", \
  "在 {provider} 使用的账户余额或配额已用尽（HTTP {status}）。{about}{said}", \
  "Whose account it is tops it up: the operator, who may also add another key, or whoever sent an account of their own with the task.", \
  "请账户所有者充值：网关的账户由管理员充值或添加其他密钥；随任务附上的账户由其所有者充值。", NULL) \
X(ERR_UP_RATE, 429, "upstream_error", "upstream_rate_limited", PARTY_PROVIDER, 1, \
  "{provider} asks for fewer requests (HTTP {status}).{about}{said}", \
  "{provider} 要求降低请求频率（HTTP {status}）。{about}{said}", \
  "Wait as long as Retry-After says.", "请按 Retry-After 等待后重试。", NULL) \
X(ERR_UP_POLICY, 400, "upstream_error", "upstream_content_policy", PARTY_PROVIDER_POLICY, 0, \
  "{provider} refused the request for its content.{about}{said}", "{provider} 因内容原因拒绝了请求。{about}{said}", \
  "Change the prompt or the input images.", "请修改提示词或输入图片。", NULL) \
X(ERR_UP_REJECTED, 400, "upstream_error", "upstream_task_rejected", PARTY_CLIENT, 0, \
  "{provider} refused the parameters (HTTP {status}).{said}", \
  "{provider} 拒绝了参数（HTTP {status}）。{said}", \
  "Change what the provider names.", "请按供应商的提示修改参数。", NULL) \
X(ERR_UP_ASYNC, 502, "upstream_error", "upstream_async_required", PARTY_GATEWAY_CONFIG, 0, \
  "{provider} refused the request: image generation needs asynchronous mode.{said}", \
  "{provider} 拒绝了请求：图片生成需要异步模式。{said}", \
  "The operator sets this provider's dialect to modelscope.", \
  "请管理员将该供应商的 dialect 设为 modelscope。", NULL) \
X(ERR_UP_NOT_FOUND, 502, "upstream_error", "upstream_not_found", PARTY_GATEWAY_CONFIG, 0, \
  "{provider} does not know the model or the path (HTTP {status}).{said}", \
  "{provider} 不认识该模型或路径（HTTP {status}）。{said}", \
  "The operator checks the provider's base_url and the model's upstream_model.", \
  "请管理员检查供应商的 base_url 和模型的 upstream_model。", "easel config show --origin") \
X(ERR_UP_MOVED, 502, "upstream_error", "upstream_moved", PARTY_GATEWAY_CONFIG, 0, \
  "{provider} no longer answers at the configured address (HTTP {status}).{said}", \
  "{provider} 已不再通过所配置的地址提供服务（HTTP {status}）。{said}", \
  "The operator sets this provider's base_url to the present address; NovelAI's is https://image.novelai.net.", \
  "请管理员将该供应商的 base_url 改为当前地址；NovelAI 的地址是 https://image.novelai.net。", \
  "easel config show --origin") \
X(ERR_UP_FAILED, 502, "upstream_error", "upstream_failed", PARTY_PROVIDER, 0, \
  "{provider} failed (HTTP {status}).{said}", "{provider} 出错（HTTP {status}）。{said}", \
  "Try again later, or another model.", "请稍后重试或更换模型。", NULL) \
X(ERR_UP_DNS, 502, "upstream_error", "upstream_dns_failed", PARTY_NETWORK, 1, \
  "The host name of {provider} cannot be resolved.", "无法解析 {provider} 的主机名。", \
  "The operator checks base_url and this machine's resolver.", "请管理员检查 base_url 和本机的 DNS。", NULL) \
X(ERR_UP_CONNECT, 502, "upstream_error", "upstream_connect_failed", PARTY_NETWORK, 1, \
  "No connection to {provider}: {about}.", "无法连接到 {provider}：{about}。", \
  "The operator checks base_url, proxy and firewall.", "请管理员检查 base_url、代理和防火墙。", NULL) \
X(ERR_UP_TLS, 502, "upstream_error", "upstream_tls_failed", PARTY_NETWORK, 0, \
  "No trusted TLS connection to {provider}: {about}.", "无法与 {provider} 建立可信的 TLS 连接：{about}。", \
  "The operator checks the certificate, the CA bundle and this machine's clock.", \
  "请管理员检查证书、CA 证书包和本机时钟。", NULL) \
X(ERR_UP_RESET, 502, "upstream_error", "upstream_reset", PARTY_PROVIDER, 0, \
  "{provider} closed the connection before it answered.", "{provider} 在应答之前关闭了连接。", \
  "It may have accepted the work: look in the provider's console before asking again.", \
  "它可能已接受该任务：再次请求之前请查看供应商后台。", NULL) \
X(ERR_UP_TRUNCATED, 502, "upstream_error", "upstream_truncated", PARTY_PROVIDER, 0, \
  "The answer of {provider} ended in the middle.", "{provider} 的应答不完整。", \
  "It has probably been billed: look in the provider's console before asking again.", \
  "很可能已经计费：再次请求之前请查看供应商后台。", NULL) \
X(ERR_UP_STALLED, 504, "upstream_error", "upstream_stalled", PARTY_PROVIDER, 0, \
  "{provider} sent nothing for {expected}.", "{provider} 在 {expected} 内没有发送任何内容。", \
  "Try again later; the operator may raise [deadline] chat_idle.", \
  "请稍后重试；管理员可以调大 [deadline] chat_idle。", NULL) \
X(ERR_UP_GARBAGE, 502, "upstream_error", "upstream_garbage", PARTY_PROVIDER, 0, \
  "The answer of {provider} cannot be understood: {about}.{said}", \
  "无法理解 {provider} 的应答：{about}。{said}", \
  "The operator checks that base_url leads to an API of this dialect.", \
  "请管理员检查 base_url 是否指向该 dialect 的接口。", NULL) \
X(ERR_UP_TOO_LARGE, 502, "upstream_error", "upstream_too_large", PARTY_PROVIDER, 0, \
  "The answer of {provider} is larger than allowed: {about}.", "{provider} 的应答超过上限：{about}。", \
  "The operator may raise [limits] image_bytes or image_pixels.", \
  "管理员可以调大 [limits] image_bytes 或 image_pixels。", NULL) \
X(ERR_RESULT_NOT_IMAGE, 502, "upstream_error", "result_not_image", PARTY_PROVIDER, 0, \
  "What {provider} sent as a picture is none: {about}.", "{provider} 返回的内容不是图片：{about}。", \
  "Try again later, or another model.", "请稍后重试或更换模型。", NULL) \
X(ERR_FETCH_REFUSED, 502, "upstream_error", "result_fetch_refused", PARTY_PROVIDER, 0, \
  "The picture's URL that {provider} answered with may not be fetched: {about}.", \
  "{provider} 返回的图片 URL 不允许访问：{about}。", \
  "The provider must answer with a public URL or one on its own host.", \
  "供应商应返回公开的 URL 或其自身主机上的 URL。", NULL) \
X(ERR_FETCH_FAILED, 502, "upstream_error", "result_fetch_failed", PARTY_PROVIDER, 0, \
  "The picture made by {provider} could not be fetched from its URL: {about}.", \
  "无法从 URL 取得 {provider} 生成的图片：{about}。", \
  "The picture exists at the provider: look in its console before asking again.", \
  "图片已在供应商处生成：再次请求之前请查看供应商后台。", NULL)

/*
 * Why a 401 is one: cause, which error's it is, its name on the wire, what arrived (en, zh), what to do
 * (en, zh), how sure.
 * {about} is the fact of this occurrence.
 */
#define ERR_CAUSES(X) \
X(CAUSE_HEADER_ABSENT, ERR_BEARER, "header_absent", \
  "no Authorization header arrived.", "没有收到 Authorization 请求头。", \
  "Send 'Authorization: Bearer YOUR_KEY'. With the Python SDK: client._client.post() sends no key; use " \
  "client.post() or pass headers={'Authorization': f'Bearer {key}'}. Behind Apache: set CGIPassAuth On.", \
  "请发送“Authorization: Bearer 您的密钥”。Python SDK 中 client._client.post() 不会附带密钥；请用 " \
  "client.post()，或传入 headers={'Authorization': f'Bearer {key}'}。若使用 Apache：请设置 CGIPassAuth On。", "likely") \
X(CAUSE_WRONG_SCHEME, ERR_BEARER, "wrong_scheme", \
  "the Authorization header does not start with 'Bearer'{about}.", \
  "Authorization 请求头不是以“Bearer”开头{about}。", \
  "Send 'Authorization: Bearer YOUR_KEY'.", "请发送“Authorization: Bearer 您的密钥”。", "certain") \
X(CAUSE_EMPTY_TOKEN, ERR_BEARER, "empty_token", \
  "the Authorization header says Bearer, but no token follows.", \
  "Authorization 请求头中的 Bearer 之后没有令牌。", \
  "The variable that should hold the key is probably empty where the client runs.", \
  "客户端运行环境中存放密钥的变量可能为空。", "likely") \
X(CAUSE_MULTIPLE_VALUES, ERR_BEARER, "multiple_values", \
  "more than one Authorization value arrived.", "收到了多个 Authorization 值。", \
  "Send one Authorization header; a proxy on the way may be adding its own.", \
  "只发送一个 Authorization 请求头；途中的代理可能另加了一个。", "certain") \
X(CAUSE_IN_QUERY_ONLY, ERR_BEARER, "in_query_only", \
  "a key stands in the query string, where it is not read.", "密钥写在了查询字符串中，不会被读取。", \
  "Send it as 'Authorization: Bearer YOUR_KEY', and replace that key: URLs end up in logs.", \
  "请以“Authorization: Bearer 您的密钥”发送，并更换该密钥：URL 会被记入日志。", "certain") \
X(CAUSE_DOUBLE_BEARER, ERR_KEY, "double_bearer", \
  "the word Bearer stands twice.", "“Bearer”重复出现。", \
  "Give the client the bare key: it adds 'Bearer' itself.", "请只提供密钥本身：客户端会自动添加“Bearer”。", "certain") \
X(CAUSE_UNEXPANDED, ERR_KEY, "unexpanded_variable", \
  "the token is the name of a variable{about}, not its value.", "令牌是变量名{about}，而不是它的值。", \
  "The variable was not expanded: use double quotes in the shell, or set it where the client runs.", \
  "变量未展开：请在 shell 中使用双引号，或在客户端运行环境中设置该变量。", "certain") \
X(CAUSE_MALFORMED, ERR_KEY, "malformed_token", \
  "the token holds {about}.", "令牌中含有{about}。", \
  "Copy the key again, without quotes or white space inside.", "请重新复制密钥，不要带引号或空白。", "certain") \
X(CAUSE_UNKNOWN, ERR_KEY, "unknown_key", \
  "no such key here ({about}).", "这里没有这个密钥（{about}）。", \
  "Check that the key belongs to this installation; the operator makes one with 'easel keys create'.", \
  "请确认密钥属于本服务；管理员可用“easel keys create”创建。", "possible") \
X(CAUSE_REVOKED, ERR_KEY, "revoked", \
  "this key was revoked.", "该密钥已被吊销。", \
  "Ask the operator for a new key.", "请向管理员申请新的密钥。", "certain") \
X(CAUSE_KEY_EXPIRED, ERR_KEY, "expired", \
  "this key has expired{about}.", "该密钥已过期{about}。", \
  "Ask the operator for a new key.", "请向管理员申请新的密钥。", "certain") \
X(CAUSE_SESSION_EXPIRED, ERR_KEY, "session_expired", \
  "this login session has expired{about}.", "该登录会话已过期{about}。", \
  "Log in again: POST /login.", "请重新登录：POST /login。", "certain") \
X(CAUSE_SESSION_ENDED, ERR_KEY, "session_ended", \
  "there is no such login session any more ({about}).", "该登录会话已不存在（{about}）。", \
  "Log in again: POST /login. A session ends with its time, a logout, or a change of its user by the operator.", \
  "请重新登录：POST /login。会话会因到期、登出或管理员更改用户而结束。", "likely")
/* clang-format on */

#endif
