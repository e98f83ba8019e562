"""Networks and tokenisers of Hugging Face's ``transformers`` library for hybridopt."""
