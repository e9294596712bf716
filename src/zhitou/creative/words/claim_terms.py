"""Phrases that state something about a product. Each may be said only if the feed row or the material says it.

Grouped by what they promise; the group is the rule id after "claim.". Proof of urgency and of social approval is
not a phrase of the feed but a fact in it: see verify.py.
"""

from __future__ import annotations

from collections.abc import Mapping


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.replace("\n", " ").split("|") if part.strip()))


CLAIMS: Mapping[str, tuple[str, ...]] = {
    "composition": _list(
        "organic | natural | pure | vegan | vegetarian | gluten free | sugar free | fat free | low fat | low "
        "calorie | non gmo | "
        "cotton | linen | wool | silk | cashmere | leather | denim | velvet | polyester | nylon | bamboo | "
        "wood | wooden | "
        "oak | steel | stainless | aluminium | aluminum | titanium | gold | silver | diamond | ceramic | "
        "glass | carbon | "
        "plastic free | bpa free | cruelty free | fragrance free | alcohol free | caffeine free | real fruit "
        "| whole grain | "
        "有机 | 纯棉 | 全棉 | 真丝 | 桑蚕丝 | 羊绒 | 真皮 | 头层牛皮 | 纯羊毛 | 实木 | 不锈钢 | 纯天然 | "
        "无糖 | 零糖 | 低脂 | "
        "零脂 | 无添加 | 非转基因 | 纯手工 | 足金 | 纯银 | 陶瓷 | 碳纤维 | 竹纤维 | 亚麻 | 全麦 | 素食 | 无酒精"
    ),
    "quality": _list(
        "waterproof | water resistant | windproof | breathable | durable | long lasting | scratch resistant "
        "| shockproof | "
        "lightweight | portable | wireless | rechargeable | foldable | adjustable | machine washable | "
        "hypoallergenic | "
        "non stick | dishwasher safe | fast charging | noise cancelling | antibacterial | stain resistant | "
        "wrinkle free | "
        "soft | cozy | comfortable | warm and dry | fresh | freshly made | crispy | creamy | juicy | "
        "delicious | tasty | "
        "premium | luxury | luxurious | high quality | top quality | professional grade | handmade | hand "
        "crafted | "
        "handcrafted | artisan | limited edition | exclusive | original | authentic | genuine | certified | "
        "patented | "
        "award winning | eco friendly | sustainable | recyclable | biodegradable | non toxic | safe for "
        "children | "
        "防水 | 防风 | 防晒 | 防滑 | 透气 | 吸汗 | 速干 | 耐磨 | 耐用 | 抗皱 | 免烫 | 不起球 | 不掉色 | 保暖 "
        "| 加绒 | 轻便 | 便携 | "
        "无线 | 快充 | 降噪 | 抗菌 | 抑菌 | 不粘 | 可水洗 | 机洗 | 柔软 | 亲肤 | 舒适 | 显瘦 | 显高 | 百搭 | "
        "新鲜 | 香脆 | 美味 | "
        "可口 | 高品质 | 优质 | 奢华 | 手工 | 限量 | 限定 | 独家 | 正品 | 原装 | 认证 | 专利 | 获奖 | 环保 | "
        "可降解 | 无毒 | 母婴可用"
    ),
    "origin": _list(
        "made in | imported | locally made | locally sourced | from italy | from france | from japan | from "
        "germany | "
        "italian | french | japanese | german | swiss | english | american | korean | "
        "进口 | 原产 | 产地直供 | 产地直采 | 国产 | 意大利 | 法国 | 日本 | 德国 | 瑞士 | 韩国 | 美国 | 英国"
    ),
    "offer": _list(
        "free shipping | free delivery | free returns | free gift | free sample | free of charge | free "
        "trial | free | "
        "buy one get one | two for one | half price | discount | off everything | coupon | voucher | "
        "cashback | clearance | "
        "on sale | special offer | price drop | save big | bundle | next day delivery | same day delivery | "
        "overnight | "
        "warranty | money back | easy returns | price match | no minimum | bonus | instalments | "
        "包邮 | 免邮 | 免运费 | 买一送一 | 买二送一 | 半价 | 打折 | 折扣 | 满减 | 优惠券 | 立减券 | 返现 | "
        "清仓 | 特价 | 降价 | "
        "大促 | 赠品 | 送赠品 | 次日达 | 当日达 | 质保 | 保修 | 无理由退货 | 七天无理由 | 运费险 | 免费 | "
        "分期免息 | 试用装"
    ),
    "novelty": _list(
        "new arrival | brand new | just in | just arrived | new season | newest | latest | launched | new "
        "formula | improved | "
        "新品 | 新款 | 上新 | 首发 | 新上市 | 最新款 | 升级版 | 新配方 | 当季新款"
    ),
    "social": _list(
        "bestseller | best seller | bestselling | best selling | customer favourite | customer favorite | "
        "fan favourite | "
        "loved by | trusted by | thousands of | millions of | everyone loves | most popular | popular choice "
        "| trending | "
        "viral | as seen on | five star | 5 star | top rated | highly rated | rave reviews | sold out | "
        "editors pick | "
        "celebrity | influencer | recommended by | "
        "热销 | 热卖 | 爆款 | 畅销 | 销量领先 | 人气款 | 网红 | 明星同款 | 好评如潮 | 万人好评 | 五星好评 | "
        "口碑爆棚 | 回购无数 | "
        "达人推荐 | 博主推荐 | 编辑推荐 | 大家都在买 | 人手一件 | 断货王 | 抖音同款"
    ),
    "effect": _list(
        "whitening | anti aging | anti wrinkle | moisturizing | moisturising | hydrating | slimming | energy "
        "boosting | "
        "relaxing | healthy | nutritious | rich in | high in protein | vitamin | probiotic | low sodium | "
        "美白 | 淡斑 | 抗皱紧致 | 抗衰 | 补水 | 保湿 | 瘦身 | 塑形 | 提神 | 助眠 | 养生 | 营养 | 富含 | "
        "高蛋白 | 维生素 | 益生菌 | 低钠"
    ),
}  # fmt: skip

URGENCY = _list(
    "today only | last chance | limited time | hurry | ends soon | ends today | ends tonight | only a few "
    "left | almost gone | "
    "while it lasts | while stocks last | now or never | final hours | closing soon | selling out | before "
    "it is gone | "
    "仅限今日 | 最后一天 | 最后机会 | 限时 | 抢购 | 秒杀 | 即将售罄 | 仅剩 | 手慢无 | 库存告急 | 倒计时 | "
    "马上结束 | 今晚截止"
)

# Words beside those of the grammar that a writer from outside may use: they tell nothing about a product.
NEUTRAL_EN = (
    "a about after again all along also always am an and another any anyone anything around as at away back "
    "be because been "
    "before being belong between bit both bring but by call can change choice choose come could daily dear "
    "did do does "
    "doing done down during each either else enjoy enough even evening ever every everyone everything "
    "example explore "
    "family favourite favorite feel few find first follow for friend from get give go going good got great "
    "guide had hand "
    "happy has have he hello her here hers hi him his home house how i idea if in into is it its itself join "
    "just keep "
    "kind kitchen know last later learn less let life like list little live long look looks lot love made "
    "make makes many "
    "may maybe me meet might mind moment month more morning most much must my need needs never next nice "
    "night no not "
    "nothing now of off often oh ok on once one only onto open or order other our out over own part people "
    "perhaps pick "
    "picked place plan please plus put quite reach ready really right room rather same say see season second "
    "seen set share "
    "she shop should show simple simply since so some someone something soon start stay step still stop "
    "story such sure "
    "table take tell than thank thanks that the their them then there these they thing things think this "
    "those though "
    "through time to today together tomorrow tonight too top treat try turn under until up upon us use used "
    "using very "
    "visit wait want was way we week weekend welcome well were what when where whether which while who why "
    "will wish with "
    "within without wonder word words work would year yes yet"
)  # fmt: skip
NEUTRAL_ZH = (
    "的 了 和 与 在 是 也 都 就 还 又 很 让 把 给 对 为 从 到 或 而 但 这 那 有 来 去 看 吧 呢 吗 啊 呀 哦 "
    "及 并 且 着 过 "
    "一个 一份 一种 一款 一件 我们 大家 自己 生活 时光 日子 每天 今天 现在 喜欢 选择 发现 分享 享受 适合 "
    "搭配 送给 家人 朋友 "
    "家里 家居 厨房 出门 上班 周末 早晨 夜晚 季节 春天 夏天 秋天 冬天 美好 简单 轻松 自在 温柔 心情 故事 "
    "欢迎 点击 了解 更多 "
    "详情 店铺 页面 商品 一起 如果 因为 所以 可以 需要 想要 值得 拥有 带来 感受 每一 这样 那样 什么 怎么 "
    "其实 只要 不必"
)  # fmt: skip
