"""Words for reading shouty feed titles: what an abbreviation stands for, and what is noise.

An expansion is the same word written out, never another fact, and never a claim: PREM may mean premium or premix, so
it is left out rather than read as praise. A word that is not here stays as it is.
"""

from __future__ import annotations

EXPANSIONS = {
    "AMER": "American", "ASST": "Assorted", "BBY": "Baby", "BEV": "Beverage", "BF": "Beef", "BG": "Bag",
    "BKD": "Baked", "BN": "Beans", "BRD": "Bread", "BRKFST": "Breakfast", "BTL": "Bottle", "BTR": "Butter",
    "CARB": "Carbonated", "CHIX": "Chicken", "CHOC": "Chocolate", "CHOCOCLATE": "Chocolate", "CHS": "Cheese",
    "CIG": "Cigarette", "CKE": "Cake", "CLEANG": "Cleaning", "CND": "Canned", "CONC": "Concentrate",
    "CRAN": "Cranberry", "CRBNTD": "Carbonated", "CRM": "Cream", "CRMD": "Creamed", "CRYSTL": "Crystal",
    "DNR": "Dinner", "DNRS": "Dinners", "DRNK": "Drink", "DRNKING": "Drinking", "DRNKNG": "Drinking",
    "DRNKS": "Drinks", "DRSNG": "Dressing", "DSH": "Dish", "FD": "Food", "FDS": "Foods", "FLAV": "Flavored",
    "FLVR": "Flavor", "FLVRD": "Flavored", "FRD": "Fried", "FRT": "Fruit", "FRZ": "Frozen", "FRZN": "Frozen",
    "GDS": "Goods", "GRN": "Green", "GRND": "Ground", "HSEHLD": "Household", "JCE": "Juice", "LT": "Light",
    "MACH": "Machine", "MLK": "Milk", "MLT": "Malt", "MNERAL": "Mineral", "MNR": "Mineral", "MNRL": "Mineral",
    "MULT": "Multi", "MW": "Microwave", "MX": "Mix", "MXS": "Mixes", "MIXS": "Mixes",
    "ORIG": "Original", "PCKGD": "Packaged", "PICKLD": "Pickled", "PK": "Pack",
    "PKG": "Package", "PKGD": "Packaged", "PKLD": "Pickled", "PLSTC": "Plastic", "PNCH": "Punch",
    "PNT": "Peanut", "PREP": "Prepared", "PROTIEN": "Protein", "PWDR": "Powder",
    "PWDRS": "Powders", "REFIGERATED": "Refrigerated", "REFRGRATD": "Refrigerated", "REFRIG": "Refrigerated",
    "REG": "Regular", "SALD": "Salad", "SAUS": "Sausage", "SEAS": "Seasoning", "SFT": "Soft", "SGL": "Single",
    "SHERBTS": "Sherbets", "SHRED": "Shredded", "SNDWCH": "Sandwich", "SNGL": "Single",
    "SPECILATY": "Specialty",
    "SPLY": "Supply", "SPRD": "Spread", "STRWBRY": "Strawberry", "SUPPPLIES": "Supplies",
    "SWEETNERS": "Sweeteners",
    "TISS": "Tissue", "TOM": "Tomato", "TORT": "Tortilla", "TRSH": "Trash", "VAN": "Vanilla",
    "VEG": "Vegetable",
    "WHL": "Whole", "WHT": "Wheat", "WTR": "Water", "SQ": "Squeeze",
}  # fmt: skip

# Words that describe a stock list and not the product; a title reads better without them.
_NOISE = (
    "ALL BULK CAR ET ETC EX EXACT INCL INCLUDING IWS LAYER MISC"
    " MISCELLANEOUS ONLY OTH OTHER OTHERS NAT ORG PREM PRIMAL PREPACK RTS SRV SS SV VEND WHLSM WT"
)
NOISE = frozenset(_NOISE.split())

# What follows one of these is what the product is not: the name ends before it.
_EXCEPTIONS = "NOT EXCEPT EXCP EXCE EXCL EXCLUDING"
EXCEPTIONS = frozenset(_EXCEPTIONS.split())

# Written as they are: abbreviations that people say.
_CAPITALS = "BBQ TV DVD USB LED LCD HDMI UV SPF XL XXL XXS 4K 5G UHD OLED PC CD GPS RFID"
CAPITALS = frozenset(_CAPITALS.split())

_SMALL = "a an and at by for from in of on or per the to with without"
SMALL = frozenset(_SMALL.split())

UNITS = {
    "OZ": "oz", "LB": "lb", "LBS": "lb", "CT": "ct", "PK": "pack", "L": "L", "LTR": "L", "LITER": "liter",
    "LITRE": "litre",
    "LITERS": "liters", "ML": "ml", "GA": "gal", "GAL": "gal", "PT": "pt", "QT": "qt", "DZ": "dozen",
    "G": "g",
    "GM": "g", "KG": "kg", "FT": "ft", "IN": "in", "CM": "cm", "MM": "mm", "GB": "GB", "TB": "TB",
    "PACK": "pack", "COUNT": "count", "FZ": "fl oz", "FL OZ": "fl oz",
}  # fmt: skip
