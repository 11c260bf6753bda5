"""The sample database: a small trading house, made from a seed, the same in every place.

Categories, suppliers, products, cities, companies (its customers), employees and orders refer to one another by id as
documents of a real application do. All names and texts are made of the word lists in `sample_words.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from math import isqrt
from typing import Any

import msgspec

from pynori.runtime import log
from pynori.runtime.rand import SeededRand
from pynori.server import sample_words as words
from pynori.server.databases import Databases

NAME = "Sample"
SEED = 20_261
COUNTS = {"Suppliers": 24, "Products": 140, "Companies": 180, "Employees": 16, "Orders": 2_400}
_FIRST_ORDER = date(2024, 1, 2)
_ORDER_DAYS = 720

Document = dict[str, Any]


async def load_sample(databases: Databases) -> None:
    """Make the sample database unless there is one, and fill it if it is empty; all documents in one transaction."""
    if NAME.lower() not in (name.lower() for name in databases.names()):
        await databases.create({"DatabaseName": NAME}, 1)
    database = databases.find(NAME).database
    if database.statistics().documents:
        return
    batch = database.batch()
    for id, document in sample_documents():
        batch.put(id, msgspec.json.encode(document))
    await database.submit(batch)
    log.info("sample", f"database {NAME} has {len(batch)} documents")


def sample_documents(seed: int = SEED) -> Iterator[tuple[str, Document]]:
    """(id, document with its @metadata) of the whole sample; what a document refers to comes before it."""
    return SampleMaker(seed).documents()


class SampleMaker:
    """Makes the documents of one seed."""

    def __init__(self, seed: int) -> None:
        self._rand = SeededRand(seed)
        self._products: list[Document] = []
        self._companies: list[Document] = []

    def documents(self) -> Iterator[tuple[str, Document]]:
        for number, (name, description, _, _) in enumerate(words.CATEGORIES, 1):
            yield _entry("Categories", number, {"Name": name, "Description": description})
        for number, (name, country, region, latitude, longitude) in enumerate(words.CITIES, 1):
            location = {"Latitude": latitude, "Longitude": longitude}
            yield _entry("Cities", number, {"Name": name, "Country": country, "Region": region, "Location": location})
        for number in range(1, COUNTS["Suppliers"] + 1):
            yield _entry("Suppliers", number, self._supplier(number))
        for number in range(1, COUNTS["Products"] + 1):
            self._products.append(self._product(number))
            yield _entry("Products", number, self._products[-1])
        for number in range(1, COUNTS["Companies"] + 1):
            self._companies.append(self._company(number))
            yield _entry("Companies", number, self._companies[-1])
        for number in range(1, COUNTS["Employees"] + 1):
            yield _entry("Employees", number, self._employee(number))
        for number in range(1, COUNTS["Orders"] + 1):
            yield _entry("Orders", number, self._order(number))

    def _supplier(self, number: int) -> Document:
        name = f"{words.COMPANY_FIRST[-number]} {self._rand.pick(words.SUPPLIER_KINDS)}"
        return {
            "Name": name,
            "Contact": self._contact(words.TITLES),
            "Address": self._address(),
            "Phone": self._phone(),
            "HomePage": f"https://{name.lower().replace(' ', '-')}.example",
        }

    def _product(self, number: int) -> Document:
        category = (number - 1) % len(words.CATEGORIES)
        _, _, nouns, units = words.CATEGORIES[category]
        price_cents = self._rand.between(180, 9_900)
        is_discontinued = self._rand.between(1, 14) == 1
        return {
            "Name": f"{words.PRODUCT_FIRST[(number * 7) % len(words.PRODUCT_FIRST)]} {self._rand.pick(nouns)}",
            "Category": _id("Categories", category + 1),
            "Supplier": _id("Suppliers", self._rand.between(1, COUNTS["Suppliers"])),
            "QuantityPerUnit": self._rand.pick(units),
            "PricePerUnit": price_cents / 100,
            "UnitsInStock": 0 if is_discontinued else self._rand.between(0, 160),
            "ReorderLevel": self._rand.between(1, 6) * 5,
            "Discontinued": is_discontinued,
            "Tags": self._rand.sample(words.TAGS, self._rand.between(0, 3)),
        }

    def _company(self, number: int) -> Document:
        first = words.COMPANY_FIRST[number % len(words.COMPANY_FIRST)]
        kind = words.COMPANY_KINDS[number // len(words.COMPANY_FIRST) % len(words.COMPANY_KINDS)]
        return {
            "Name": f"{first} {kind}",
            "ExternalId": f"{first[:3].upper()}{number:03d}",
            "Contact": self._contact(words.TITLES),
            "Address": self._address(),
            "Phone": self._phone(),
            "PaymentDays": self._rand.pick([14, 30, 30, 30, 45, 60]),
            "Notes": [self._rand.pick(words.NOTES) for _ in range(self._rand.between(0, 2))],
        }

    def _employee(self, number: int) -> Document:
        first, last = self._rand.pick(words.FIRST_NAMES), words.LAST_NAMES[number * 3 % len(words.LAST_NAMES)]
        hired = _FIRST_ORDER - timedelta(days=self._rand.between(30, 4_000))
        return {
            "FirstName": first,
            "LastName": last,
            "Title": "Head of sales" if number == 1 else self._rand.pick(words.EMPLOYEE_TITLES),
            # The first reports to nobody, the next three to her, all others to one of the three.
            "ReportsTo": None if number == 1 else _id("Employees", 1 if number <= 4 else 2 + number % 3),
            "HiredAt": _moment(hired, 9, 0),
            "Birthday": _moment(hired - timedelta(days=self._rand.between(7_500, 15_000)), 0, 0),
            "Address": self._address(),
            "Email": f"{first}.{last}@sample.example".lower(),
            "Languages": ["English", *self._rand.sample(words.LANGUAGES, self._rand.between(0, 2))],
        }

    def _order(self, number: int) -> Document:
        company = self._rand.between(1, COUNTS["Companies"])
        # The square root makes later days busier: business grows.
        ordered = _FIRST_ORDER + timedelta(days=isqrt(number * _ORDER_DAYS * _ORDER_DAYS // COUNTS["Orders"]))
        shipped = ordered + timedelta(days=self._rand.between(1, 12))
        is_open = number > COUNTS["Orders"] - 60 and self._rand.between(1, 2) == 1
        lines = [self._order_line(product) for product in self._product_numbers()]
        return {
            "Company": _id("Companies", company),
            "Employee": _id("Employees", self._rand.between(2, COUNTS["Employees"])),
            "OrderedAt": _moment(ordered, self._rand.between(8, 18), self._rand.between(0, 59)),
            "RequireAt": _moment(ordered + timedelta(days=28), 0, 0),
            "ShippedAt": None if is_open else _moment(shipped, self._rand.between(6, 20), 30),
            "ShipTo": self._companies[company - 1]["Address"],
            "ShipVia": self._rand.pick(words.CARRIERS),
            "Freight": self._rand.between(350, 16_000) / 100,
            "Lines": lines,
        }

    def _product_numbers(self) -> list[int]:
        """Different products of one order; the first of the list sell best."""
        found: list[int] = []
        for _ in range(self._rand.between(1, 5)):
            product = min(self._rand.between(1, COUNTS["Products"]), self._rand.between(1, COUNTS["Products"]))
            if product not in found:
                found.append(product)
        return found

    def _order_line(self, product: int) -> Document:
        return {
            "Product": _id("Products", product),
            "ProductName": self._products[product - 1]["Name"],
            "PricePerUnit": self._products[product - 1]["PricePerUnit"],
            "Quantity": self._rand.between(1, 40),
            "Discount": self._rand.pick([0, 0, 0, 0, 0.05, 0.1, 0.15]),
        }

    def _contact(self, titles: list[str]) -> Document:
        name = f"{self._rand.pick(words.FIRST_NAMES)} {self._rand.pick(words.LAST_NAMES)}"
        return {"Name": name, "Title": self._rand.pick(titles)}

    def _address(self) -> Document:
        number = self._rand.between(1, len(words.CITIES))
        name, country, region, latitude, longitude = words.CITIES[number - 1]
        # Somewhere within a few kilometres of the centre.
        offsets = [self._rand.between(-400, 400) / 10_000 for _ in range(2)]
        return {
            "Line1": f"{self._rand.between(1, 180)} {self._rand.pick(words.STREETS)}",
            "Line2": None,
            "City": name,
            "CityId": _id("Cities", number),
            "Region": region,
            "PostalCode": f"{self._rand.between(10_000, 99_999)}",
            "Country": country,
            "Location": {
                "Latitude": round(latitude + offsets[0], 4),
                "Longitude": round(longitude + offsets[1], 4),
            },
        }

    def _phone(self) -> str:
        return f"+{self._rand.between(20, 98)} 555 {self._rand.between(1_000, 9_999)}"


def _id(collection: str, number: int) -> str:
    return f"{collection.lower()}/{number}-A"


def _entry(collection: str, number: int, document: Document) -> tuple[str, Document]:
    return _id(collection, number), {**document, "@metadata": {"@collection": collection}}


def _moment(day: date, hour: int, minute: int) -> str:
    return f"{day.isoformat()}T{hour:02d}:{minute:02d}:00.0000000"
