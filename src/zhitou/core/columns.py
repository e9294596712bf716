"""Every column name, once. A name ends in its unit: price_micros, occurred_at (UTC, microseconds)."""

# who, what, when
EVENT_ID = "event_id"
TENANT = "tenant"
SUBJECT = "subject"
KIND = "kind"
ITEM = "item"
QUANTITY = "quantity"
PRICE_MICROS = "price_micros"
CURRENCY = "currency"
OCCURRED_AT = "occurred_at"
RECEIVED_AT = "received_at"
SESSION = "session"
CHANNEL = "channel"
DECISION_ID = "decision_id"
ORDER_ID = "order_id"
CONTEXT = "context"

# what can be sold
TITLE = "title"
DESCRIPTION = "description"
CATEGORY = "category"  # levels joined by CATEGORY_SEPARATOR, broadest first
BRAND = "brand"
SALE_PRICE_MICROS = "sale_price_micros"
AVAILABILITY = "availability"
IMAGE = "image"
LOCALE = "locale"
ATTRIBUTES = "attributes"
CATEGORY_SEPARATOR = " > "

# promotions and offers
WEEK = "week"
STORES_DISPLAY = "stores_display"
STORES_MAILER = "stores_mailer"
CAMPAIGN = "campaign"
COUPON = "coupon"

# quarantine
REASON = "reason"
SOURCE_ROW = "source_row"
RAW = "raw"
