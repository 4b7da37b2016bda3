# openssl.sh FOLDER: a key, a certificate, ciphers, a TLS server and its client on a Unix socket
set -eu
cd "$1"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
openssl req -x509 -key key.pem -subj /CN=localhost -days 2 -out cert.pem
openssl x509 -in cert.pem -noout -subject
seq 5000 >plain
openssl enc -aes-256-ctr -pbkdf2 -pass pass:word -in plain -out secret
openssl enc -d -aes-256-ctr -pbkdf2 -pass pass:word -in secret | cmp - plain
openssl dgst -sha256 plain
openssl rand -hex 8 | wc -c
mkfifo said
openssl s_server -unix socket -cert cert.pem -key key.pem -www -naccept 1 >said 2>&1 &
exec 3<said
while read -r line <&3; do
	case $line in ACCEPT*) break ;; esac
done
printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -unix socket -quiet -ign_eof 2>/dev/null | grep -c HTTP
cat <&3 >/dev/null
wait
