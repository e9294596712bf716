"""creative"""
