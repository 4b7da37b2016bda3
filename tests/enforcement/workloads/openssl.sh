#!/bin/sh
# Keys, a certificate and its chain, signatures, digests and ciphers. Status 0.
. "${0%/*}/waiting.sh"
wait_for_line ready

cd "$(mktemp -d)" || exit 1
seq 1 50000 >text
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key
openssl req -x509 -new -key ca.key -subj /CN=ca -days 2 -out ca.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa.key 2>/dev/null
openssl req -new -key rsa.key -subj /CN=leaf -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out leaf.pem 2>/dev/null
openssl verify -CAfile ca.pem leaf.pem
openssl dgst -sha256 -sign ca.key -out text.sig text
openssl pkey -in ca.key -pubout -out ca.pub
openssl dgst -sha256 -verify ca.pub -signature text.sig text
openssl enc -aes-256-cbc -pbkdf2 -pass pass:secret -in text -out text.enc
openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:secret -in text.enc | openssl sha256
openssl rand -hex 16 | wc -c
cd /

wait_for_line worked
finish 0
