"""What can be sold: items, their categories, brands and prices, and the numbering the models use.

Owns: Item, ItemTable, price band. Never knows shoppers, money flows or models.
"""
