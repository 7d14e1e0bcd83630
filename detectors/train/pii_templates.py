"""Sentences with slots that the token head of the PII detector learns from; written for this project.

Why this exists: no labelled set is trained on, so that the public ones can judge. A slot ``{kind}`` is filled by
`detectors.train.pii_slots`; what is filled in and what kind of thing it is are known, which is the label. Sentences of many
kinds, so that the head learns the slot's surroundings and not one phrase: letters, chats, forms, notes, news, code, orders.
"""

__all__ = ["NEGATIVES", "TEMPLATES"]

TEMPLATES: tuple[str, ...] = tuple(
    line.replace("\\n", "\n")
    for line in """
{name} just moved into a flat near the river and wants to change the delivery address.
I was told to ask for {first} at the front desk.
Hey {first}, are you coming over on {weekday}?
{first} and {first} said they would bring the cake, {first} brings the drinks
Could you write a birthday card for my brother {first}, who turns {age} on {date}?
the contract was signed by {name} on behalf of {org}.
{org} has hired {name} as its new {job}.
{name}, {job} at {org}, declined to comment.
"We did not expect that," said {name}, a {job} from {city}.
{formal} will see you at {time} on {weekday}.
Dear {formal},\\n\\nthank you for your letter of {date}.\\n\\nKind regards,\\n{name}\\n{job}
Please forward this to {formal} and copy {name}.
Is {formal} in the office today?
{prefix} {last} asked whether the room is free.
Patient {name}, {age} years old, was admitted on {date} with chest pain.
Pt is a {age} yo {nationality} female referred by Dr. {last}.
A {age}-year-old {job} from {city}, {country}, was rescued on {weekday}.
Name: {name}\\nDate of birth: {date}\\nNationality: {nationality}\\nOccupation: {job}
Full name: {name}; address: {address}; phone: {phone}
Customer {reversed}, account {account}, phone {phone}
Ship it to {address}
My new place is {address}, please update your records
deliver the parcel to {name}, {address}
{name}\\n{address}
{name}\\n{job}\\n{org}\\n{address}\\nTel. {phone}\\n{email}
{org}\\n{address}\\n{phone}\\n{url}
Kind regards\\n{name}\\n{job} | {org}\\n{phone}
Best,\\n{first}\\n--\\n{name}\\n{street}, {city} {zip}
We used to live on {street} before we moved to {city}.
turn left after {street} and you will see the shop
Our branch at {street} closes at {time}.
The house at {street}, {unit}, is for sale.
{unit}, {street}, {city}
The meeting point is {street} in {city}.
An accident on {street} blocked traffic for hours, the police of {city} said.
Can I get a cab from {street} to {street}?
I left my bag in the bus that stops on {streetname}
where {streetname} meets {streetname} there is a bakery
Find me a dentist close to {zip}.
what's the weather like in {zip} tomorrow
my zip is {zip}
The postal code {zip} belongs to {city}.
I am flying from {city} to {city} on {date}, any visa needed?
My grandparents came from {country} and settled in {city} in {year}.
{city} is two hours from {city} by train
she studied in {city}, {country} and then in {state}
Do they speak {nationality} in {country}?
The {nationality} embassy in {city} was closed on {date}.
He is {nationality}, his wife is {nationality}
my neighbour is {religion} and does not eat pork
As a {religion} student, {first} asked for a day off.
{nationality} restaurants in {city} that are open on {weekday}
the {party} candidate {name} lost in {state}
Call me at {phone} after {time}
you can reach {first} under {phone}
ring {phone} and ask for {name}
Fax: {phone}
Mobile {phone}, office {phone}
{phone} is my number, text me
I keep getting calls from {phone}, who is that?
his number changed to {phone}
{phone} or {phone}
Please ring our {job} on {phone}.
My driving licence {license} expires on {date}.
DL no. {license}, issued in {state}
license: {license}
the police took down his driver license {license}
passport {passport}, {nationality}, valid until {date}
Passport no.: {passport}
My passport number is {passport} and I travel on {date}
Employee ID {account}, {name}, {org}
policy number {account} in the name of {name}
tax id {account}
Account {account} at {org} is overdrawn.
student number {account}
Send the money to {iban}, account holder {name}.
IBAN {iban}
please debit {iban} from {date} on
The card {card} was declined at {org}.
card {card} expires {date}
my card number {card}, name on card {name}
I lost my card, it is {card}. {name}, {city}
ssn {ssn}, dob {date}
Social: {ssn}
{name} ({ssn}) applied for a loan on {date}.
drop me a line at {email}
email {email} or call {phone}
from: {email}\\nto: {email}\\nsubject: lunch on {weekday}
The page {url} shows the wrong address for {org}.
see {url} for the terms of {org}
Request from {ip} at {datetime} was blocked.
{datetime} login failed for {name} from {ip}
server {ip} went down on {date}
Reset the password of {email}, please. Thanks, {first}
{org} is hiring a {job} in {city}.
I work for {org}.
She left {org} to join {org} in {year}.
Shares of {org} fell after the {job} resigned.
my boss at {org} is called {first}
The {org} office in {city} is on {streetname}.
{org} was founded by {name} and {name} in {year}
Has anyone here used {org}? Their support is slow.
an interview with {name} of {org}
{org} and {org} announced a partnership on {date}.
we bought the software from {org}
The invoice from {org} dated {date} is still open.
I have a job offer from {org} and one from {org}, which should I take?
{org} sued {org} over a patent.
Compare the plans of {org} and {org}
apply at {org} before {date}
my daughter goes to {school}
{name} graduated from {school} in {year} and became a {job}.
he was treated at {hospital} in {city}
{hospital} confirmed that the patient, a {job}, is stable.
Researchers at {school} led by {name} published the study on {date}.
a donation to {org} was made by {name}
{first} works as a {job}
My sister is a {job} and my father was a {job}.
I've been a {job} for ten years
Wanted: {job}, full time, {city}
position applied for: {job}
Job title: {job}
{name} ({job})
As the {job} of {org}, {formal} was invited to {city}.
promoted from {job} to {job}
{job} {name} was born in {city} on {date}.
the {job}, {name}, opened the session
Signed: {name}, {job}
Our {job} {first} {last} will be your contact.
What does a {job} at {org} earn?
the appointment is on {date} at {time}
between {date} and {date}
Born {date} in {city}; died {date} in {city}.
Since {year} nobody has seen {name}.
Booked for {datetime}, table of {num}, under {last}
date: {date}
DOB {date}
My birthday is {date} and I am {age}
I'm {age}, {gender}, from {city}
{first} ({age}) and {first} ({age}) have known each other since school.
age {age}, {nationality}, {job}
he turned {age} last week
At the age of {age} she moved to {country}.
kids aged {age} and {age}
{first} is {age} now and lives with his uncle {first} in {state}
Whose idea was it, {first}'s or {first}'s?
{name}'s mother, {name}, called from {city}.
{last} and {last} were seen near {landmark}.
the {landmark} trail starts behind {streetname}
{name} swam across {landmark} in {year}.
According to {last} ({year}), the effect is small.
{initialled} wrote the report.
cc: {name}, {name}, {initialled}
Attendees: {name}; {name}; {name}
minutes taken by {first} {last}, {date}
1. {name} - {phone}\\n2. {name} - {phone}\\n3. {name} - {phone}
{reversed}\\t{email}\\t{phone}\\t{city}
id,name,city,phone\\n{num},{name},{city},{phone}
{{"name": "{name}", "city": "{city}", "job": "{job}"}}
{{"employer": "{org}", "since": "{date}", "contact": "{email}"}}
user = "{name}"  # from {city}
INSERT INTO staff VALUES ('{name}', '{job}', '{date}');
<b>{name}</b>, {street}, {zip} {city}
> On {date}, {name} wrote:\\n> see you in {city}
[{time}] {first}: has {first} arrived in {city} yet?
{first}: my number is {phone}\\n{first}: got it
Translate to {nationality}: "{first} lives at {street}."
Write a reference letter for {name}, who worked as {job} at {org} from {date} to {date}.
Write a short biography of {name}, {nationality} {job}, born in {city}.
Summarise the mail of {formal} from {org} about the delay.
Make a rhyme with the name {first}
Check whether {name} from {city} is on the list of guests
Draft an apology to {formal} because {first} missed the meeting at {org}
what should I say to {first} when she asks about {org}
Fill in the form for me: {name}, {address}, {phone}, {email}
Who is {name}?
tell me about {name} and {name}
I, {name}, residing at {address}, hereby authorise {name} to act for me.
WITNESS: {name}, {street}, {city}, {country}
Tenant: {name}\\nProperty: {address}\\nRent due: {date}
Order {num} for {name}, {street}, {city} {zip}, was shipped on {date}.
Refund {amount} to {name} at {org}.
Guest: {name}, room {num}, check-in {date}, from {country}
Flight {num}: passengers {reversed} and {reversed}
The keys are with {first} in {unit}.
{first} said "meet me in front of {org} at {time}"
Thanks {first}! Greetings to {first} and the kids.
{first} {first} {first}, stop it!
It was {first} who broke the window, not {first}.
{name} beat {name} in the final in {city}.
The film with {name} and {name} was shot in {country}.
a song by {name} that came out in {year}
{name} was named {job} of the year by {org}
{country} and {country} play on {weekday} in {city}
import duties between {country}, {country} and {country}
{city}, {state}
from {city}, {country}
I'd rather live in {country} than in {country}.
The {org} shop on {streetname} takes cards.
{job} needed asap in {city}, call {first} {phone}
Police arrested a {nationality} {job}, {age}, on {streetname}.
{name}, {age}, of {streetname}, {city}, pleaded guilty.
the {nationality} company {org} makes pumps
My landlord ({name}, {phone}) lives in {unit} of the same building
Emergency contact: {name}, {phone}, {city}
Room {num}, {org}, {street}, {city}
To: {name}\\n{org}\\n{street}\\n{city}, {state} {zip}\\n{country}
c/o {name}, {street}, {zip} {city}, {country}
{prefix} {name}\\n{street}\\n{zip} {city}
{prefix} {name} {unit} {street} {city} {zip} {country}
Where does {first} {last} live? I think it was {street}.
I grew up in {city} but my accent is from {state}
the {city} marathon starts at {landmark}
{date} - {org} - {amount}
call {first}, pay {org}, buy milk
remind me to phone {name} on {weekday} at {time}
{weekday}, {date}: lunch with {first} from {org}
Meeting with {org}\\nWhen: {datetime}\\nWho: {name}, {name}\\nWhere: {street}, {city}
""".strip().splitlines()
)

#: Sentences with capitals, numbers and words that look like the things above and are not.
NEGATIVES: tuple[str, ...] = tuple(
    line.replace("\\n", "\n")
    for line in """
What is {num} times {num}?
Order number {num} has not arrived yet.
Install version {version} and restart the service.
The invoice over {amount} is due.
def add(a, b):\\n    return a + b
for i in range({num}):\\n    print(i)
SELECT count(*) FROM orders WHERE total > {num};
How do I centre a div in CSS?
Please make the tone of this text more polite.
Translate the following sentence and explain the grammar.
I need to speak with someone about my bill
Can you call me a cab?
Call me maybe is a song that I can not stand.
May I ask a question?
will you mark this as done
grant me access, please
The bill was frank and to the point.
How can I become a better writer?
How much is {amount} in another currency?
Error {num}: file not found in line {num}
The train leaves from platform {num}, carriage {num}
room {num} is on the left
Give me a recipe with {num} eggs and a cup of flour
List {num} reasons to learn a language.
It took me {num} minutes to read the manual.
The temperature fell to {num} degrees.
Chapter {num} explains the method in detail
What does HTTP status {num} mean?
Use Docker, Kubernetes and PostgreSQL for the backend.
Is Python faster than JavaScript for this?
Explain the difference between TCP and UDP.
Write a haiku about rain.
Once upon a time there was a king who had no crown.
My laptop is slow since the last update.
I lost my card, what should I do?
How do I change my password?
what is my account balance
Do I need a passport for that trip?
my phone number does not work any more
The company raised its prices again.
The street was empty and the shops were closed.
My boss wants the report by noon.
the doctor said that I should rest
Our team won by {num} points.
Dear Sir or Madam,
To whom it may concern
Thanks a lot, see you soon!
Best regards
PS: do not forget the tickets.
TODO: rename the variable and add a test
She said that the book is better than the film.
The university asked for {num} documents.
Act as a teacher and quiz me on fractions.
You are a helpful assistant that answers in one sentence.
Summarise the article above in three bullet points.
I would like to book a flight with a window seat
track my package {code}
Coupon {code} does not work
serial {code}, model {code}
The key is {code}, keep it safe.
ISBN {code}
Rewrite the function so that it runs in linear time.
IMPORTANT: READ THE MANUAL FIRST
WHY IS NOBODY ANSWERING MY QUESTION
Roses are red, violets are blue.
The Great Depression changed how people think about debt.
Windows {num} keeps asking me to restart.
My iPhone does not charge.
The quick brown fox jumps over the lazy dog.
What are the side effects of this drug?
How many calories are in {num} grams of rice?
is it cheaper to rent or to buy
""".strip().splitlines()
)
