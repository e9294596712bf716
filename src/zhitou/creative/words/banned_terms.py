"""Terms that may not stand in an ad, by rule and source. A first net and no legal advice.

Sources: Advertising Law of the People's Republic of China (2015, amended 2021), by article; FTC Act, sections 5 and
12, with Title 16 of the Code of Federal Regulations by part. A `*` in a family stands for each of its endings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One kind of term. source: the law that it comes from."""

    rule: str
    source: str
    terms: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split()))


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.replace("\n", " ").split("|") if part.strip()))


def _family(head: str, endings: str) -> tuple[str, ...]:
    return tuple(head.replace("*", ending) for ending in endings.split())


_SUPERLATIVES = (
    *_family(
        "最*",
        "佳 好 优 优秀 优质 大 大程度 强 高级 高端 高档 高品质 奢侈 低价 便宜 划算 流行 受欢迎 时尚 聚拢 "
        "符合 舒适 先进",
    ),
    *_family(
        "最*",
        "先进科学 先进加工工艺 权威 顶尖 顶级 尖端 具价值 专业 安全 有效 健康 天然 纯净 正宗 畅销 火爆 豪华 "
        "快速 省钱 耐用",
    ),
    *_family("*级", "国家 世界 宇宙 全球 史诗 殿堂 国宾 最高 特 顶 顶尖 骨灰 王者"),
    *_family("第一*", "品牌 名 位 选择 人 家 大品牌 梯队"),
    *_family("*第一", "全国 全球 世界 全网 销量 行业 中国 亚洲 排名 天下 质量 口碑"),
    *_family("唯一*", "选择 指定 授权 认证 品牌"),
    *_family("*唯一", "全国 全球 全网 行业"),
    *_family("*品", "极 绝 至尊珍 巅峰之 传世精"),
    *_words(
        "极致 极佳 绝佳 绝对 绝版 绝无仅有 空前绝后 史无前例 前无古人 前所未有 无与伦比 无可比拟 无人能及 "
        "独一无二 举世无双 天下无双 "
        "盖世无双 首屈一指 登峰造极 至高无上 至尊 王牌 冠军品牌 金牌品质 领导品牌 领袖品牌 领先品牌 行业领先 "
        "全球领先 遥遥领先 "
        "世界领先 国内领先 缔造者 创领品牌 领航者 巅峰 顶峰 之王 之冠 销冠 霸主 霸王 万能 全能王 永久 "
        "永远不坏 终身不坏 "
        "百分之百 完美无瑕 无懈可击 无敌 秒杀全网 碾压同行 甩同行几条街 首选 首家 首发全球 独家首发 全网首发 "
        "全国首创 全球首款 "
        "首个 填补国内空白 填补世界空白 国际品质 世界名牌 驰名商标 著名品牌 免检 国家免检 质量免检 "
        "老字号第一 中国驰名 全网之最 "
        "史上之最 世界之最 行业之最 独步天下 一流品牌 世界一流 国际一流 全国一流 超一流 尖端科技 顶尖工艺 "
        "至臻之选 无双品质"
    ),
)
_STATE = _words(
    "国家领导人推荐 国家机关推荐 国务院指定 人民大会堂专用 人民大会堂指定 中南海特供 中南海专供 "
    "钓鱼台国宾馆指定 国宴专用 国宴用酒 "
    "军队特供 军用特供 部队专供 政府指定 政府推荐 机关专供 党政机关专用 央视推荐 央视上榜品牌 新华社推荐 "
    "人民日报推荐 国家发改委推荐 "
    "国家质检总局推荐 国旗同款 国徽同款 国歌同款 特供 专供机关 钦定 御用 贡品"
)
_MEDICAL = _words(
    "根治 治愈 治愈率 包治百病 药到病除 妙手回春 起死回生 见效神速 永不复发 不再复发 断根 彻底根除 无效退款 "
    "有效率百分百 百分百有效 "
    "无副作用 无毒副作用 零副作用 安全无毒 纯天然无害 无任何添加 无依赖 特效药 神奇疗效 神奇功效 速效见效 "
    "速效丰胸 快速丰胸 丰胸 减肥 瘦身神器 "
    "燃脂 排毒 排毒养颜 祛斑 祛湿 祛痘灵 消炎 抗炎 抗癌 防癌 抗肿瘤 降血糖 降血压 降血脂 软化血管 治疗失眠 "
    "治疗脱发 生发 "
    "壮阳 补肾 增强免疫力 提高免疫力 提高记忆力 活血化瘀 疏通经络 调节内分泌 改善睡眠质量 细胞再生 干细胞 "
    "基因修复 逆转衰老 "
    "返老还童 延年益寿 长生不老 医疗级 药用级 临床验证 医生推荐 专家推荐 专家建议 患者见证 祖传秘方 宫廷秘方 "
    "国医大师 神医 神药 仙丹 "
    "灵丹妙药 疗效 疗效显著 保证治好 签约治疗 防辐射 杀灭百分百 消除疲劳 代替药物 代餐减肥 医学护肤 药妆"
)
_MONEY = _words(
    "保本 保本保息 稳赚 稳赚不赔 只赚不赔 零风险 无风险 高收益无风险 保证收益 承诺收益 稳定收益 躺赚 "
    "日赚千元 月入过万 一夜暴富 "
    "轻松致富 快速致富 财务自由 无本万利 一本万利 包赚 内部消息 必涨 翻倍收益 升值潜力无限 投资回报率保证 "
    "零首付购房 "
    "考试包过 包过班 保过班 一次通过 保证录取 命题老师授课 考试命题人 不过退款 包就业 保就业 包拿证 押题必中 "
    "提分神器"
)
_FALSE = _words(
    "假一赔万 史上最低价 全网最低 全网最低价 全网底价 全年最低 历史最低 跳楼价 亏本甩卖 亏本大甩卖 "
    "清仓甩卖价 跳楼大甩卖 破产清仓 "
    "老板跑路 厂家倒闭 原价虚高 点击有惊喜 点击获奖 恭喜获奖 全民免单 点击领取大奖 疯抢 抢爆 抢疯 卖疯 "
    "万人疯抢 再不抢就没了 "
    "错过再等一年 错过不再 售罄不补 不会再便宜 不会再有 随时涨价 马上降价 零利润 假货包赔 谁用谁知道 "
    "国家认证产品 专利产品第一 "
    "转运 改运 招财进宝 旺夫 辟邪 保佑平安 开光 逢凶化吉 招桃花 提升运势"
)
_FTC_PROOF = _phrases(
    "clinically proven | scientifically proven | medically proven | laboratory proven | proven to work | "
    "proven results | "
    "guaranteed results | results guaranteed | guaranteed to work | guarantee results | satisfaction "
    "guaranteed or double | "
    "100% effective | 100 percent effective | works every time | never fails | permanent results | instant "
    "results | "
    "overnight results | miracle | miracle cure | miraculous | magic bullet | secret formula | secret "
    "ingredient | "
    "scientific breakthrough | medical breakthrough | revolutionary breakthrough | ancient remedy | "
    "breakthrough formula | "
    "doctors hate | doctors hate this | doctor recommended | doctor approved | dentist recommended | "
    "recommended by doctors | "
    "pharmacist recommended | FDA approved | FDA certified | endorsed by the government | government "
    "approved | "
    "nasa approved | no side effects | zero side effects | side effect free | completely safe | absolutely "
    "safe | "
    "totally harmless | risk free | risk-free | zero risk | no risk | chemical free | toxin free | "
    "detoxifies | detox your body"
)
_FTC_HEALTH = _phrases(
    "cures | cures cancer | cure for | heals disease | treats disease | prevents cancer | fights cancer | "
    "kills covid | "
    "prevents covid | reverses aging | stops aging | anti-aging miracle | fountain of youth | lose weight "
    "fast | "
    "lose weight overnight | lose 10 pounds | lose 30 pounds | melt fat | melts fat | burn fat fast | burns "
    "fat | "
    "fat burning | shed pounds | drop a dress size | weight loss guaranteed | no diet no exercise | without "
    "diet or exercise | "
    "flat belly fast | boosts immunity | boost your immune system | immune boosting | lowers blood pressure | "
    "lowers cholesterol | lowers blood sugar | reverses diabetes | cures diabetes | relieves arthritis | "
    "ends pain | "
    "pain free forever | regrow hair | regrows hair | hair growth guaranteed | cures baldness | cures acne | "
    "erases wrinkles | "
    "wrinkle free forever | permanent hair removal | enlarges | male enhancement | boosts testosterone | "
    "increases fertility | cures insomnia | cures depression | improves memory | raises iq"
)
_FTC_PRICE = _phrases(
    "lowest price | lowest prices | lowest price ever | lowest prices anywhere | best price | best prices | "
    "best price guaranteed | unbeatable price | unbeatable prices | cheapest anywhere | cheapest price | "
    "cannot be beaten | can't be beat | price will never be lower | never cheaper | below cost | below "
    "wholesale | "
    "factory price | wholesale price | going out of business | liquidation prices | everything must go | "
    "free money | totally free | absolutely free | 100% free | free gift guaranteed | no strings attached | "
    "no catch | "
    "no obligation | you have won | you won | winner selected | you have been selected | claim your prize | "
    "act now | once in a lifetime | never again | do not miss out | don't miss out | last chance ever | "
    "this will not last | going fast | selling out fast | almost sold out"
)
_FTC_EARN = _phrases(
    "get rich | get rich quick | make money fast | easy money | earn money fast | earn thousands | "
    "earn from home | work from home and earn | be your own boss | quit your job | financial freedom | "
    "double your money | double your income | passive income guaranteed | guaranteed income | guaranteed "
    "returns | "
    "guaranteed profit | risk free investment | no risk investment | instant approval | guaranteed approval | "
    "no credit check | erase your debt | eliminate debt | fix your credit | millionaire secret"
)
_FTC_BEST = _phrases(
    "number one | no 1 | # 1 | number 1 | world's best | the world's best | worlds best | best in the world | "
    "best on earth | best ever | best in class | america's best | nation's best | the very best | absolute "
    "best | "
    "best of the best | best selling in the world | world's leading | world's first | world's only | world "
    "class | "
    "industry leading | market leading | second to none | unrivaled | unrivalled | unmatched | unsurpassed | "
    "unparalleled | incomparable | unequaled | unbeatable | greatest of all time | the greatest ever | "
    "the only one | one and only | never before seen | first ever | top rated in the world | better than all "
    "others | "
    "better than the rest | outperforms all | beats every other | nothing else compares | perfect in every "
    "way | "
    "guaranteed | 100% guaranteed | lifetime guaranteed | money back guaranteed or else | forever guaranteed | "
    "indestructible | unbreakable forever | lasts forever"
)
_FTC_GREEN = _phrases(
    "100% eco-friendly | completely green | totally sustainable | planet safe | zero impact on the planet | "
    "saves the planet | 100% natural | all natural guaranteed | non toxic guaranteed | carbon free forever"
)

RULES = (
    Rule("CN-AL-9.3", "Advertising Law of the PRC, article 9(3): superlatives", _SUPERLATIVES),
    Rule("CN-AL-9.1", "Advertising Law of the PRC, article 9(1) and (2): state organs and symbols", _STATE),
    Rule(
        "CN-AL-16",
        "Advertising Law of the PRC, articles 16 to 18: efficacy, medical words outside medicine",
        _MEDICAL,
    ),
    Rule("CN-AL-25", "Advertising Law of the PRC, articles 24 to 26: promised returns and exam passes", _MONEY),
    Rule("CN-AL-28", "Advertising Law of the PRC, articles 9(8) and 28: misleading offers, superstition", _FALSE),
    Rule("US-FTC-12-proof", "FTC Act, sections 5 and 12; 16 CFR 255: proof and endorsement", _FTC_PROOF),
    Rule("US-FTC-12-health", "FTC Act, section 12: health and weight", _FTC_HEALTH),
    Rule("US-CFR-233", "16 CFR 233, 238, 251: prices, bait, free", _FTC_PRICE),
    Rule("US-CFR-437", "16 CFR 437 and 310: earnings and credit", _FTC_EARN),
    Rule("US-FTC-5", "FTC Act, section 5: unproven comparison with all others", _FTC_BEST),
    Rule("US-CFR-260", "16 CFR 260: unqualified environmental benefit", _FTC_GREEN),
)
