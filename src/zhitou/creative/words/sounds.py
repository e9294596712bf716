"""How a Chinese character sounds, as a syllable without its tone, and its simplified form.

The first plane of GB 2312 (3,755 characters in daily use) is sorted by sound, so the first character of each
syllable is all that has to be kept. A character with several readings has the one it is sorted under.
"""

from __future__ import annotations

from functools import cache

_FIRST = (
    "a啊 ai埃 an鞍 ang肮 ao凹 ba芭 bai白 ban斑 bang邦 bao苞 bei杯 ben奔 beng崩 bi逼 bian鞭 biao标 bie鳖 "
    "bin彬 bing兵 bo玻 bu捕 ca擦 "
    "cai猜 can餐 cang苍 cao操 ce厕 ceng层 cha插 chai拆 chan搀 chang昌 chao超 che车 chen郴 cheng撑 chi吃 "
    "chong充 chou抽 chu初 "
    "chuai揣 chuan川 chuang疮 chui吹 chun春 chuo戳 ci疵 cong聪 cou凑 cu粗 cuan蹿 cui摧 cun村 cuo磋 da搭 "
    "dai呆 dan耽 dang当 dao刀 "
    "de德 deng蹬 di堤 dian颠 diao碉 die跌 ding丁 diu丢 dong东 dou兜 du督 duan端 dui堆 dun墩 duo掇 e蛾 en恩 "
    "er而 fa发 fan藩 fang坊 "
    "fei菲 fen芬 feng丰 fo佛 fou否 fu夫 ga噶 gai该 gan干 gang冈 gao篙 ge哥 gei给 gen根 geng耕 gong工 gou钩 "
    "gu辜 gua刮 guai乖 "
    "guan棺 guang光 gui瑰 gun辊 guo锅 ha哈 hai骸 han酣 hang夯 hao壕 he呵 hei嘿 hen痕 heng哼 hong轰 hou喉 "
    "hu呼 hua花 huai槐 huan欢 "
    "huang荒 hui灰 hun荤 huo豁 ji击 jia嘉 jian歼 jiang僵 jiao蕉 jie揭 jin巾 jing荆 jiong炯 jiu揪 ju鞠 juan捐 "
    "jue撅 jun均 ka喀 "
    "kai开 kan刊 kang康 kao考 ke坷 ken肯 keng坑 kong空 kou抠 ku枯 kua夸 kuai块 kuan宽 kuang匡 kui亏 kun坤 "
    "kuo括 la垃 lai莱 lan蓝 "
    "lang琅 lao捞 le勒 lei雷 leng棱 li厘 lia俩 lian联 liang粮 liao撩 lie列 lin琳 ling玲 liu溜 long龙 lou楼 "
    "lu芦 lv驴 luan峦 lve掠 "
    "lun抡 luo萝 ma妈 mai埋 man瞒 mang芒 mao猫 me么 mei玫 men门 meng萌 mi眯 mian棉 miao苗 mie蔑 min民 ming明 "
    "miu谬 mo摸 mou谋 mu拇 "
    "na拿 nai氖 nan南 nang囊 nao挠 ne呢 nei馁 nen嫩 neng能 ni妮 nian蔫 niang娘 niao鸟 nie捏 nin您 ning柠 "
    "niu牛 nong脓 nu奴 nv女 "
    "nuan暖 nve虐 nuo挪 o哦 ou欧 pa啪 pai拍 pan攀 pang乓 pao抛 pei呸 pen喷 peng砰 pi坯 pian篇 piao飘 pie撇 "
    "pin拼 ping乒 po坡 pu扑 "
    "qi期 qia掐 qian牵 qiang枪 qiao橇 qie切 qin钦 qing青 qiong琼 qiu秋 qu趋 quan圈 que缺 qun裙 ran然 rang瓤 "
    "rao饶 re惹 ren壬 "
    "reng扔 ri日 rong戎 rou揉 ru茹 ruan软 rui蕊 run闰 ruo若 sa撒 sai腮 san三 sang桑 sao搔 se瑟 sen森 seng僧 "
    "sha莎 shai筛 shan珊 "
    "shang墒 shao梢 she奢 shen砷 sheng声 shi师 shou收 shu蔬 shua刷 shuai摔 shuan栓 shuang霜 shui谁 shun吮 "
    "shuo说 si斯 song松 "
    "sou搜 su苏 suan酸 sui虽 sun孙 suo蓑 ta塌 tai胎 tan坍 tang汤 tao掏 te特 teng藤 ti梯 tian天 tiao挑 tie贴 "
    "ting厅 tong通 tou偷 "
    "tu凸 tuan湍 tui推 tun吞 tuo拖 wa挖 wai歪 wan豌 wang汪 wei威 wen瘟 weng嗡 wo挝 wu巫 xi昔 xia瞎 xian掀 "
    "xiang相 xiao萧 xie楔 "
    "xin薪 xing星 xiong兄 xiu休 xu墟 xuan轩 xue靴 xun勋 ya压 yan焉 yang殃 yao邀 ye椰 yi一 yin茵 ying英 yo哟 "
    "yong拥 you幽 yu迂 "
    "yuan鸳 yue曰 yun耘 za匝 zai栽 zan咱 zang赃 zao遭 ze责 zei贼 zen怎 zeng增 zha扎 zhai摘 zhan瞻 zhang樟 "
    "zhao招 zhe遮 zhen珍 "
    "zheng蒸 zhi芝 zhong中 zhou舟 zhu珠 zhua抓 zhuai拽 zhuan专 zhuang桩 zhui椎 zhun谆 zhuo捉 zi兹 zong鬃 "
    "zou邹 zu租 zuan钻 "
    "zui嘴 zun尊 zuo昨 "
)  # fmt: skip

# What ads write, simplified: traditional forms of the characters that banned terms are made of.
_TRADITIONAL = (
    "國国 級级 極极 絕绝 對对 萬万 頂顶 選选 價价 網网 無无 療疗 癒愈 體体 長长 優优 強强 純纯 淨净 龍龙 "
    "頭头 創创 獨独 領领 "
    "導导 終终 達达 壟垄 斷断 薦荐 質质 銷销 軍军 層层 爾尔 鑽钻 歷历 業业 驗验 證证 專专 權权 藥药 醫医 "
    "腫肿 減减 復复 發发 "
    "見见 風风 險险 賺赚 穩稳 虧亏 賠赔 億亿 財财 過过 試试 錄录 師师 題题 壓压 軸轴 樓楼 盤盘 黃黄 銀银 "
    "氣气 運运 靈灵 門门 "
    "開开 關关 際际 區区 聯联 場场 倫伦 紀纪 記记 話话 聞闻 聲声 響响 殺杀 賣卖 買买 賽赛 華华 貴贵 後后 "
    "現现 約约 臺台 灣湾 "
    "實实 測测 評评 認认 監监 檢检 護护 傷伤 損损 陽阳 陰阴 補补 腎肾 腦脑 腸肠 膚肤 顏颜 齡龄 歲岁 驚惊 "
    "嘆叹 類类 從从 來来 "
    "個个 們们 為为 與与 會会 這这 應应 當当 適适 產产 廠厂 寶宝 貝贝 漲涨 錢钱 購购 搶抢 單单 雙双 滿满 "
    "贈赠 饋馈 熱热 鋪铺 "
    "車车 電电 腳脚 髮发 雞鸡 魚鱼 鳥鸟 鐵铁 鋼钢 銅铜 鏡镜 鏈链 襪袜 褲裤 裝装 織织 絲丝 綢绸 緞缎 綿绵 "
    "紅红 綠绿 藍蓝 點点 "
    "條条 紋纹 圖图 畫画 書书 筆笔 紙纸 機机 環环 邊边 還还 進进 遠远 遲迟 讓让 說说 誠诚 請请 謝谢 識识 "
    "變变 賀贺 趕赶 躍跃 "
    "輕轻 輸输 農农 釋释 針针 錯错 閃闪 間间 隨随 難难 靜静 順顺 預预 飛飞 養养 餘余 驅驱 齊齐 齒齿 徹彻 "
    "厲厉 勢势 勵励 勝胜 "
    "勞劳 務务 動动 協协 參参 嚴严 嚮向 團团 圓圆 壽寿 夢梦 奪夺 奮奋 婦妇 媽妈 孫孙 學学 寧宁 將将 尋寻 "
    "屆届 屬属 巔巅 幣币 "
    "幫帮 庫库 廢废 廣广 張张 彈弹 徵征 恆恒 惡恶 懷怀 戰战 戲戏 擇择 擁拥 據据 擴扩 攝摄 敵敌 數数 時时 "
    "曆历 榮荣 樂乐 樣样 "
    "標标 歡欢 歐欧 殘残 毀毁 滅灭 漢汉 潔洁 濟济 灘滩 災灾 煉炼 燒烧 爭争 狀状 獎奖 獲获 獻献 瑪玛 畢毕 "
    "異异 痙痉 癥症 盜盗 "
    "確确 禮礼 種种 積积 稱称 穀谷 窮穷 競竞 簡简 糧粮 結结 給给 絡络 統统 經经 維维 緊紧 緩缓 練练 縮缩 "
    "總总 績绩 繼继 續续 "
    "罰罚 羅罗 習习 聖圣 聰聪 職职 聽听 肅肃 脫脱 臉脸 臨临 舉举 興兴 艦舰 藝艺 蘇苏 處处 號号 蟲虫 衆众 "
    "眾众 術术 衛卫 裡里 "
    "裏里 視视 覺觉 覽览 觀观 觸触 計计 訂订 訊讯 訪访 設设 許许 診诊 詞词 該该 詳详 語语 誤误 課课 調调 "
    "談谈 論论 諾诺 謂谓 "
    "講讲 議议 譽誉 讀读 負负 責责 貨货 費费 資资 賓宾 賴赖 贏赢 軟软 載载 較较 輔辅 輝辉 轉转 辦办 連连 "
    "遺遗 鄉乡 醜丑 釐厘 "
    "鈔钞 鉑铂 鎖锁 鎮镇 閱阅 陣阵 陳陈 陸陆 隊队 階阶 雜杂 離离 雲云 霧雾 韓韩 頁页 項项 頓顿 頗颇 頻频 "
    "顆颗 願愿 顧顾 顯显 "
    "飯饭 飲饮 館馆 驕骄 髒脏 鬆松 鮮鲜 黨党 齋斋 龐庞 龜龟 鐘钟 錶表 週周 髖髋 瘡疮 癱瘫 騙骗 殼壳 嶄崭 "
    "痠酸 癢痒 睏困 禦御 "
    "燙烫 疊叠 癡痴 誌志 佔占 "
    "亞亚 倉仓 傳传 僅仅 內内 報报 壞坏 壯壮 妝妆 宮宫 峯峰 幹干 幾几 憶忆 擊击 擬拟 攏拢 暢畅 檔档 欽钦 "
    "沒没 溼湿 濕湿 "
    "潛潜 潤润 牀床 瘋疯 祕秘 節节 簽签 細细 締缔 蓋盖 虛虚 詩诗 誰谁 豐丰 貢贡 輻辐 遙遥 釣钓 閉闭 闆板 "
    "馬马 馳驰"
)  # fmt: skip
SIMPLE = str.maketrans({pair[0]: pair[1] for pair in _TRADITIONAL.split()})
_ALWAYS = {"率": "lv", "丽": "li", "行": "hang", "重": "zhong", "长": "chang", "奢": "she", "巅": "dian", "瑕": "xia",
           "祛": "qu",
           "瘀": "yu", "罄": "qing"}  # fmt: skip
OTHERWISE = {"便": "pian", "行": "xing", "调": "tiao", "了": "le", "长": "zhang", "重": "chong"}  # a second reading


@cache
def syllables() -> dict[str, str]:
    """Character -> syllable, for the first plane of GB 2312.

    >>> syllables()["最"], syllables()["佳"]
    ('zui', 'jia')
    """
    starts = {mark[-1]: mark[:-1] for mark in _FIRST.split()}
    found: dict[str, str] = {}
    sound = ""
    for row in range(16, 56):
        for column in range(1, 95):
            pair = bytes((row + 160, column + 160))
            try:
                char = pair.decode("gb2312")
            except UnicodeDecodeError:
                continue  # the last row is not full
            sound = starts.get(char, sound)
            found[char] = sound
    return {**found, **_ALWAYS}
